/** A file that exists only in memory, by its URL's path. */
export interface MadeFile {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export interface ServeOptions {
  /** Folders of the project that are served, by their paths within it. */
  readonly folders: readonly string[];
  readonly files?: Readonly<Record<string, MadeFile>>;
  /** Default: any free one. */
  readonly port?: number;
}

export interface Served {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** `path range` of every request, in order; `-` without a range. */
  readonly log: string[];
  close(): Promise<void>;
}

export function serve(options: ServeOptions): Promise<Served>;
export function buildPage(): Promise<void>;
export const pageFolders: readonly string[];
