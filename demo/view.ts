import { W2sdError, type AdapterSummary, type GenerateResult } from "../src/index.ts";

export const columns = ["weak", "strong", "w2sd"] as const;
export type Column = (typeof columns)[number];

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export function showAdapter({ name, software }: AdapterSummary): void {
  const line = byId("adapter");
  line.textContent = software ? `${name}: a software adapter, no GPU is used. It will be slow.` : name;
  line.classList.toggle("software", software);
}

/** What is being done, and how much of it is done in [0, 1]; without a share there is no bar. */
export function showStatus(text: string, share?: number): void {
  byId("status").textContent = text;
  const bar = byId<HTMLProgressElement>("bar");
  bar.hidden = share === undefined;
  bar.value = share ?? 0;
}

/** An error with what to do about it; `undefined` takes the last one away. */
export function showError(error: unknown): void {
  byId("error").hidden = error === undefined;
  const hint = error instanceof W2sdError ? error.hint : undefined;
  const message = error instanceof Error ? error.message.split("\n  hint: ", 1)[0]! : "";
  byId("error-message").textContent = message;
  byId("error-hint").textContent = hint ?? "";
}

const titles: Record<Column, string> = {
  weak: "The weak model’s picture",
  strong: "The strong model’s picture",
  w2sd: "The W2SD picture",
};

export function clearPictures(): void {
  for (const column of columns) {
    const { canvas, cost } = figure(column);
    canvas.getContext("2d")!.clearRect(0, 0, canvas.width, canvas.height);
    canvas.ariaLabel = `${titles[column]}: not made yet`;
    cost.textContent = "";
  }
}

export function showPicture(column: Column, { picture, nfe, ms }: GenerateResult, prompt: string): void {
  const { canvas, cost } = figure(column);
  canvas.width = picture.width;
  canvas.height = picture.height;
  const { data, width, height } = picture;
  canvas.getContext("2d")!.putImageData(new ImageData(new Uint8ClampedArray(data), width, height), 0, 0);
  canvas.ariaLabel = `${titles[column]}: ${prompt || "no prompt"}`;
  const evaluations = nfe.main + nfe.down + nfe.up;
  const seconds = (ms.text + ms.sample + ms.vae) / 1000;
  cost.textContent = `${evaluations} evaluations, ${nfe.branches} network passes, ${seconds.toFixed(1)} s`;
}

function figure(column: Column): { canvas: HTMLCanvasElement; cost: HTMLElement } {
  const element = byId(`picture-${column}`);
  return { canvas: element.querySelector("canvas")!, cost: element.querySelector<HTMLElement>(".cost")! };
}
