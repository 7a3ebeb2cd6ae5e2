/// <reference types="@webgpu/types" preserve="true" />
export * from "./errors.ts";
