/** What a file that is not safetensors is, by its first bytes. Only named, never parsed. */
export interface Foreign {
  readonly kind: string;
  readonly hint: string;
}

const pickle: Foreign = {
  kind: "a Python pickle (.ckpt, .pt, .bin)",
  hint: "a pickle can run any code when it is opened, so it is never read: use the .safetensors file of the same model",
};

/** Names the file type that these first bytes (16 or more) belong to, if it is a known one. */
export function recognise(bytes: Uint8Array): Foreign | undefined {
  const starts = (text: string): boolean => [...text].every((c, i) => bytes[i] === c.charCodeAt(0));
  // torch.save: a zip since 1.6, before that a bare pickle, whose first opcode is PROTO 2 to 5.
  if (starts("PK\x03\x04") || (bytes[0] === 0x80 && bytes[1]! >= 2 && bytes[1]! <= 5)) return pickle;
  if (starts("GGUF")) return { kind: "a GGUF file", hint: "use the .safetensors file of the same model" };
  if (starts("version https://")) {
    return { kind: "a Git LFS pointer, not the file itself", hint: "run `git lfs pull` in the model's folder" };
  }
  if (starts("<!") || starts("<html") || starts("<?xml")) {
    return { kind: "a web page", hint: "the address led to a page, not to the file: use the file's download address" };
  }
  if (starts("\x89HDF")) return { kind: "an HDF5 file", hint: "use the .safetensors file of the same model" };
  return undefined;
}
