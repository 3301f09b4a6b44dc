/**
 * Frames a second that an agent looks at (decode, letterbox, detect) over those of the bare `session.run` of the same model in the
 * same process and run, in turns.
 *
 *   npm run bench:agent -- --model model.onnx --video film.mp4 [--seconds 10] [--rounds 3]
 */
import { existsSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import ort from 'onnxruntime-node'
import { Camera } from '../../edge-agent/cameras/camera.ts'
import { Detector } from '../../edge-agent/detector/detector.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    video: { type: 'string' },
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
  },
})
if (!values.model || !values.video) throw new Error('--model model.onnx and --video film.mp4 are needed')
for (const file of [values.model, values.video]) if (!existsSync(file)) throw new Error(`${file} is not there`)
const milliseconds = Number(values.seconds) * 1000

async function bare(path: string): Promise<number> {
  const session = await ort.InferenceSession.create(path, { graphOptimizationLevel: 'all' })
  const [, height, width] = session.inputMetadata[0]!.isTensor ? session.inputMetadata[0]!.shape.map(Number) : []
  const image = new ort.Tensor('uint8', new Uint8Array(width! * height! * 3).fill(114), [1, height!, width!, 3])
  await session.run({ image })
  const begun = performance.now()
  let runs = 0
  for (; performance.now() - begun < milliseconds; runs++) await session.run({ image })
  const rate = runs / ((performance.now() - begun) / 1000)
  await session.release()
  return rate
}

async function agent(path: string, source: string): Promise<{ rate: number; inference: number }> {
  const detector = await Detector.load({ path })
  const camera = new Camera({ id: 'bench', source, framesPerSecond: 0, loop: true, realTime: false })
  camera.setInput({ width: detector.width, height: detector.height, resize: 'letterbox' })
  camera.start()
  let next = camera.nextFrame()
  const first = await next
  if (!first) throw new Error(`${source}: no frame (${camera.status.cause ?? camera.status.state})`)
  next = camera.nextFrame()
  await detector.detect(first.tensor)
  const begun = performance.now()
  let frames = 0
  let inference = 0
  while (performance.now() - begun < milliseconds) {
    const frame = await next
    if (!frame) break
    // The next frame is decoded while the detector looks at this one, as in the agent.
    next = camera.nextFrame()
    inference += (await detector.detect(frame.tensor)).milliseconds
    frames++
  }
  const rate = frames / ((performance.now() - begun) / 1000)
  await camera.stop()
  await detector.stop()
  return { rate, inference: inference / frames }
}

console.log(`${cpus().length} cores, ${cpus()[0]?.model}; node ${process.version}`)
const rows = []
for (let round = 0; round < Number(values.rounds); round++) {
  const alone = await bare(values.model)
  const { rate, inference } = await agent(values.model, values.video)
  rows.push({
    'bare session.run /s': alone.toFixed(1),
    'agent frames /s': rate.toFixed(1),
    ratio: (rate / alone).toFixed(2),
    'inference in the agent, ms': inference.toFixed(1),
  })
}
console.table(rows)
