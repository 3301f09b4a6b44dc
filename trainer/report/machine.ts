/** On what something ran: what somebody needs to know who gets other figures. */
import { arch, cpus, platform, release, totalmem } from 'node:os'
import ort from 'onnxruntime-node'
import { version } from '../../protocol/version.ts'

export function machineFacts(): [name: string, value: string][] {
  return [
    ['CPU', `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}`],
    ['Memory', `${(totalmem() / 2 ** 30).toFixed(0)} GiB`],
    ['System', `${platform()} ${release()} ${arch()}`],
    ['Node', process.versions.node],
    ['onnxruntime-node', ort.env.versions.node ?? 'unknown'],
    ['Muninn', version],
  ]
}
