/** A training in a process of its own that can be killed at any step: killed-training.js SAMPLES.json FOLDER. A line per step: its loss. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from 'typebox'
import { parseJson } from '../../../protocol/parse.ts'
import { writeAside } from '../../../trainer/files/write-aside.ts'
import { train } from '../../../trainer/loop/train.ts'

const Box = Type.Tuple([Type.Number(), Type.Number(), Type.Number(), Type.Number()])
const Samples = Type.Array(
  Type.Object({ path: Type.String(), labels: Type.Array(Type.Object({ box: Box, label: Type.Integer() })) }),
)

const [, , list, folder] = process.argv
const checkpoint = join(folder!, 'checkpoint.bin')
const { model } = await train({
  base: null,
  classes: ['thing', 'other'],
  samples: parseJson(Samples, readFileSync(list!, 'utf8'), 'samples'),
  inputSize: 96,
  batch: 8,
  steps: 8,
  seed: 3,
  resume: existsSync(checkpoint) ? readFileSync(checkpoint) : null,
  checkpointSeconds: 0,
  onCheckpoint: (bytes) => writeAside(checkpoint, bytes),
  onProgress: ({ step, losses }) => console.log(step, losses.loss),
})
await writeAside(join(folder!, 'model.onnx'), model)
