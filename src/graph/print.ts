import { showSpec, storageBytes } from "../tensor.ts";
import type { Plan, Slot, Step } from "./plan.ts";

/** A plan as text, one line a dispatch: what runs, on what, where it goes, with which specialisation. */
export function printPlan(plan: Plan): string {
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(2)} MiB`;
  const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
  const weightBytes = sum([...plan.weights.values()].map((w) => storageBytes(w)));
  return [
    `plan ${plan.name}`,
    `  inputs   ${[...plan.inputs].map(([name, spec]) => `${name} ${showSpec(spec)}`).join(", ")}`,
    `  outputs  ${[...plan.outputs].map(([name, slot]) => `${name} ${showSpec(slot.spec)} in ${showSlot(slot)}`).join(", ")}`,
    `  weights  ${plan.weights.size} tensors, ${mib(weightBytes)}`,
    `  kept     ${plan.kept.map(mib).join(" + ") || "none"}`,
    `  scratch  ${plan.scratch.map(mib).join(" + ") || "none"} (lower bound ${mib(plan.scratchLowerBound)})`,
    `once: ${plan.once.length} dispatches`,
    ...plan.once.map(printStep),
    `step: ${plan.step.length} dispatches`,
    ...plan.step.map(printStep),
    "",
  ].join("\n");
}

function showSlot(slot: Slot): string {
  if ("arena" in slot) return `${slot.kind === "kept" ? "K" : "S"}${slot.arena}+${slot.offset}`;
  return slot.kind === "weight" ? "w" : slot.name;
}

function printStep({ label, op, launch, slots }: Step): string {
  const { y, ...inputs } = slots;
  const read = Object.entries(inputs).map(([name, slot]) => `${name}=${showSpec(slot.spec)}@${showSlot(slot)}`);
  const special = Object.entries({ ...launch.alias, ...launch.consts, ...launch.overrides }).map(
    ([name, value]) => `${name}=${value}`,
  );
  const shader = launch.contract.name === op ? op : `${op}(${launch.contract.name})`;
  return `  ${shader} '${label}' ${read.join(" ")} -> ${showSpec(y!.spec)}@${showSlot(y!)} grid ${launch.workgroups.join("x")}${special.length ? ` {${special.join(" ")}}` : ""}`;
}
