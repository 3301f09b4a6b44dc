/** `muninn detect`: boxes on a picture. */
import { readFile } from 'node:fs/promises'
import { defineCommand } from 'citty'
import { MuninnError } from '../../protocol/errors.ts'
import { decodePicture } from '../data/picture.ts'
import { PictureDetector } from '../inference/detector.ts'
import { assertRuns } from '../inspection/probe.ts'

export const detect = defineCommand({
  meta: {
    name: 'detect',
    description: `Runs a deployed model on a picture. Boxes are x1 y1 x2 y2 in the picture's pixels.

  muninn detect --model model.onnx --image street.jpg --json`,
  },
  args: {
    model: { type: 'string', description: 'a deployed model (ONNX)', required: true },
    image: { type: 'string', description: 'a picture', required: true },
    threshold: { type: 'string', default: '0.3', description: 'lowest score that is told' },
    json: { type: 'boolean', description: 'as JSON, for programs' },
  },
  async run({ args }) {
    const threshold = Number(args.threshold)
    if (!(threshold >= 0 && threshold <= 1))
      throw new MuninnError('INVALID_INPUT', `--threshold ${args.threshold}: a number from 0 to 1 is wanted`)
    await assertRuns(args.model)
    const picture = await decodePicture(args.image)
    const detector = await PictureDetector.load(await readFile(args.model))
    const { found, milliseconds } = await detector.detect(picture)
    await detector.stop()
    const { classes } = detector.specification
    const detections = found
      .filter(({ score }) => score >= threshold)
      .map(({ box, label, score }) => ({ box, label: classes[label]!, score }))
    if (args.json)
      console.log(JSON.stringify({ image: args.image, width: picture.width, height: picture.height, milliseconds, detections }))
    else {
      for (const { box, label, score } of detections)
        console.log(`${label.padEnd(20)} ${score.toFixed(3)}  ${box.map((each) => each.toFixed(1)).join(' ')}`)
      console.log(`${detections.length} detections in ${milliseconds.toFixed(1)} ms`)
    }
  },
})
