/** The WebAssembly text of the pixel kernels as a module of TypeScript. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import wabt from 'wabt'

export const kernelsPath = fileURLToPath(new URL('../../../protocol/pixels/kernels.ts', import.meta.url))

export async function kernelsModule(): Promise<string> {
  const text = readFileSync(fileURLToPath(new URL('../../../protocol/pixels/kernels.wat', import.meta.url)), 'utf8')
  const { buffer } = (await wabt()).parseWat('kernels.wat', text, { simd: true }).toBinary({})
  const lines = Buffer.from(buffer)
    .toString('base64')
    .match(/.{1,120}/g)!
  return `/** Made of kernels.wat by \`npm run wasm\`: a WebAssembly module, as base64. */
export const kernels =
${lines.map((line) => `  '${line}'`).join(' +\n')}
`
}
