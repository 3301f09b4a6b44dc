/** The ONNX project's node test vectors (one op each, with inputs and outputs) from the folder with real data. */
import { readOnnxTensor } from '../../trainer/onnx/read.ts'
import { sharedData } from './shared-data.ts'
import { readTarGz } from './tar.ts'

export const archive = 'onnx-node.tar.gz'

export interface OpVector {
  readonly name: string
  readonly model: Uint8Array
  /** TensorProto files, in the order of the model's inputs and outputs. */
  readonly inputs: readonly Uint8Array[]
  readonly outputs: readonly Uint8Array[]
}

export function readOpVectors(): OpVector[] {
  const files = readTarGz(sharedData(archive))
  const series = (folder: string, kind: 'input' | 'output') => {
    const found: Uint8Array[] = []
    for (let file = files.get(`${folder}/test_data_set_0/${kind}_0.pb`); file; ) {
      found.push(file)
      file = files.get(`${folder}/test_data_set_0/${kind}_${found.length}.pb`)
    }
    return found
  }
  return [...files].flatMap(([path, model]) => {
    if (!path.endsWith('/model.onnx')) return []
    const folder = path.slice(0, -'/model.onnx'.length)
    const name = folder.replace(/^.*\/test_/, '')
    return [{ name, model, inputs: series(folder, 'input'), outputs: series(folder, 'output') }]
  })
}

export const tensorsOf = (files: readonly Uint8Array[]) => files.map(readOnnxTensor)
