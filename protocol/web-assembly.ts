/** What of the language's WebAssembly is used here; TypeScript has it among the names of browsers only. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object, imports: Imports) => { readonly exports: unknown }
  Memory: new (size: { initial: number; maximum: number; shared: true }) => Memory<SharedArrayBuffer>
}
type Imports = Readonly<Record<string, Readonly<Record<string, unknown>>>>

/** `buffer` is of the present size; views of what it was before are valid still where threads share it, else not. */
export interface Memory<B extends ArrayBufferLike = ArrayBuffer> {
  readonly buffer: B
  grow(pages: number): number
}
export type SharedMemory = Memory<SharedArrayBuffer>

const pageBytes = 65536

/** What a module (as base64) exports. */
export const instantiate = <Exports>(module: string, imports: Imports = {}): Exports =>
  new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(module, 'base64')), imports).exports as Exports

/** Memory that threads can be given, which grows to at most 4 GiB. */
export const sharedMemory = (): SharedMemory => new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true })

/** Makes a memory at least as large as this. */
export function growTo(memory: Memory<ArrayBufferLike>, bytes: number): void {
  const missing = Math.ceil(bytes / pageBytes) - memory.buffer.byteLength / pageBytes
  if (missing > 0) memory.grow(missing)
}
