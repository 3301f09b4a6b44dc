/** The WebAssembly texts of the kernels as modules of TypeScript. */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import wabt from 'wabt'

/** The written modules, each beside its text, from the root. */
export const kernelModules = ['protocol/pixels/kernels.ts', 'trainer/engine/update-kernels.ts'] as const

export const kernelsPath = (module: string): string => fileURLToPath(new URL(`../../../${module}`, import.meta.url))

export async function kernelsModule(module: string): Promise<string> {
  const path = kernelsPath(module).replace(/ts$/, 'wat')
  const { buffer } = (await wabt()).parseWat(path, readFileSync(path, 'utf8'), { simd: true, threads: true }).toBinary({})
  const lines = Buffer.from(buffer)
    .toString('base64')
    .match(/.{1,120}/g)!
  return `/** Made of ${basename(path)} by \`npm run wasm\`: a WebAssembly module, as base64. */
export const kernels =
${lines.map((line) => `  '${line}'`).join(' +\n')}
`
}
