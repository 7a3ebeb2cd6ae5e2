// Browser tests use CHROME_PATH, an installed Chrome or Chromium, or the one in @sparticuz/chromium: never a download.
module.exports = { skipDownload: true };
