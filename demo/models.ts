import { filesFolder, type Location } from "../src/index.ts";

/** A model as the form names it: equal keys mean the same files. */
export interface ChosenModel {
  readonly location: Location;
  readonly key: string;
}

const shippedPair = {
  strong: "../models/emoji-strong",
  weak: "../models/emoji-weak",
  prompt: "blue car, gradient style",
};
const tinyPair = {
  strong: "../test/golden/models/sd15-strong",
  weak: "../test/golden/models/sd15-weak",
  prompt: "a photo of a cat",
};

/** Lets each model's kind decide which of its fields is shown, and fills in the pair that comes along.
 *  @returns what to say of that pair */
export async function prepareModels(form: HTMLFormElement): Promise<string> {
  const fieldsets = [...form.querySelectorAll<HTMLFieldSetElement>("fieldset.model")];
  for (const fieldset of fieldsets) {
    const kind = fieldset.querySelector("select")!;
    const show = () => {
      for (const label of fieldset.querySelectorAll<HTMLElement>("[data-kind]"))
        label.hidden = label.dataset["kind"] !== kind.value;
    };
    kind.addEventListener("change", show);
    show();
  }
  const shipped = (await isThere(shippedPair.strong)) && (await isThere(shippedPair.weak));
  const pair = shipped ? shippedPair : tinyPair;
  for (const fieldset of fieldsets) {
    const address = fieldset.querySelector<HTMLInputElement>("[name=address]")!;
    address.value ||= pair[fieldset.id as "strong" | "weak"];
  }
  form.querySelector<HTMLInputElement>("[name=prompt]")!.value ||= pair.prompt;
  return shipped
    ? "The pair filled in is small and was trained on emoji alone; its README files say what it can draw and what not."
    : "The pair filled in has random weights: its pictures show that the engine runs, nothing more.";
}

async function isThere(folder: string): Promise<boolean> {
  const response = await fetch(`${folder}/model_index.json`, { method: "HEAD" }).catch(() => undefined);
  return response?.ok === true;
}

/** What is chosen in a fieldset, or `undefined` for no model.   @throws {Error} nothing is chosen */
export function chosenModel(form: HTMLFormElement, id: "strong" | "weak"): ChosenModel | undefined {
  const field = (name: string) => form.querySelector<HTMLInputElement>(`#${id} [name=${name}]`)!;
  const kind = field("kind").value;
  if (kind === "none") return undefined;
  if (kind === "address") {
    const address = field("address").value.trim();
    if (address === "") throw new Error(`the ${id} model has no address`);
    return { location: address, key: address };
  }
  const files = [...(field(kind).files ?? [])];
  if (files.length === 0) throw new Error(`no ${kind} is picked for the ${id} model`);
  const key = files.map((f) => [f.webkitRelativePath || f.name, f.size, f.lastModified].join(" ")).join("\n");
  return { location: kind === "folder" ? filesFolder(files) : files[0]!, key };
}
