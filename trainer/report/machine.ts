/** On what something ran: what somebody needs to know who gets other figures. */
import { readFile } from 'node:fs/promises'
import { arch, cpus, platform, release, totalmem } from 'node:os'
import ort from 'onnxruntime-node'
import { Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'

/** The package at the top, two folders above what is compiled. */
const manifest = new URL('../../../package.json', import.meta.url)

export async function machineFacts(): Promise<[name: string, value: string][]> {
  const { version } = parseJson(Type.Object({ version: Type.String() }), await readFile(manifest, 'utf8'), 'package.json')
  return [
    ['CPU', `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}`],
    ['Memory', `${(totalmem() / 2 ** 30).toFixed(0)} GiB`],
    ['System', `${platform()} ${release()} ${arch()}`],
    ['Node', process.versions.node],
    ['onnxruntime-node', ort.env.versions.node ?? 'unknown'],
    ['Muninn', version],
  ]
}
