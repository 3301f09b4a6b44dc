/** Checks that a session is a deployed model (image in; boxes, scores, embedding out) before anything runs through it. */
import type { InferenceSession } from 'onnxruntime-node'
import { MuninnError } from '../../protocol/errors.ts'

type Value = InferenceSession.ValueMetadata

export interface DeployedShape {
  readonly width: number
  readonly height: number
}

/**
 * @returns width and height of the model's input in pixels
 * @throws MuninnError BAD_MODEL naming the input or output that is off. Types are checked before a run: an output of a type
 *   the runtime's binding does not know (int4, say) would abort the whole process.
 */
export function checkDeployedModel(session: Pick<InferenceSession, 'inputMetadata' | 'outputMetadata'>): DeployedShape {
  const bad = (words: string) =>
    new MuninnError('BAD_MODEL', `not a deployed model: ${words}; 'muninn adopt' turns a foreign detector into one`)
  const [input, ...more] = session.inputMetadata
  if (!input || more.length > 0 || input.name !== 'image') throw bad('it must have one input, image')
  if (!input.isTensor || input.type !== 'uint8')
    throw bad(`image must be uint8, it is ${input.isTensor ? input.type : 'no tensor'}`)
  const [batch, height, width, channels] = input.shape
  if (input.shape.length !== 4 || batch !== 1 || channels !== 3 || typeof height !== 'number' || typeof width !== 'number') {
    throw bad(`image must be [1, H, W, 3] with fixed H and W, it is [${input.shape.join(', ')}]`)
  }
  if (width < 32 || height < 32 || width > 4096 || height > 4096) throw bad(`image is ${width} x ${height}; 32 to 4096 are taken`)
  const outputs = new Map<string, Value>(session.outputMetadata.map((each) => [each.name, each]))
  for (const name of ['boxes', 'scores', 'embedding']) {
    const output = outputs.get(name)
    if (!output) throw bad(`the output ${name} is missing`)
    if (!output.isTensor || output.type !== 'float32') throw bad(`${name} must be float32`)
  }
  if (outputs.size !== 3) throw bad(`it has ${outputs.size} outputs; boxes, scores and embedding are taken`)
  return { width, height }
}
