/** `muninn detect`: boxes on pictures. */
import { readFile } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { defineCommand } from 'citty'
import { MuninnError } from '../../protocol/errors.ts'
import { decodePicture } from '../data/picture.ts'
import { writeAside } from '../files/write-aside.ts'
import { PictureDetector } from '../inference/detector.ts'
import { drawDetections } from '../inference/draw.ts'
import { assertRuns } from '../inspection/probe.ts'

export const detect = defineCommand({
  meta: {
    name: 'detect',
    description: `Runs a deployed model on pictures. Boxes are x1 y1 x2 y2 in the picture's pixels.

  muninn detect --model model.onnx --image street.jpg --json
  muninn detect --model model.onnx --image street.jpg --out street-boxes.jpg
  muninn detect --model model.onnx --out drawn/ *.jpg`,
  },
  args: {
    model: { type: 'string', description: 'a deployed model (ONNX)', required: true },
    image: { type: 'string', description: 'a picture; may be given several times, and pictures may follow the flags' },
    threshold: { type: 'string', default: '0.3', description: 'lowest score that is told' },
    out: { type: 'string', description: 'where to draw the boxes: a .jpg for one picture, a folder for several' },
    json: { type: 'boolean', description: 'as JSON, for programs: an object, or a list for several pictures' },
  },
  async run({ args, rawArgs }) {
    const threshold = Number(args.threshold)
    if (!(threshold >= 0 && threshold <= 1))
      throw new MuninnError('INVALID_INPUT', `--threshold ${args.threshold}: a number from 0 to 1 is wanted`)
    const images = namedImages(rawArgs)
    if (images.length === 0) throw new MuninnError('INVALID_INPUT', 'name a picture: --image street.jpg')
    await assertRuns(args.model)
    const { out } = args
    const single = images.length === 1 && out !== undefined && extname(out) !== ''
    const detector = await PictureDetector.load(await readFile(args.model))
    const { classes } = detector.specification
    const told: object[] = []
    try {
      for (const image of images) {
        const picture = await decodePicture(image)
        const { width, height } = picture
        const { found, milliseconds } = await detector.detect(picture)
        const detections = found
          .filter(({ score }) => score >= threshold)
          .map(({ box, label, score }) => ({ box, label: classes[label]!, score }))
        told.push({ image, width, height, milliseconds, detections })
        if (out !== undefined)
          await writeAside(
            single ? out : join(out, `${basename(image, extname(image))}.jpg`),
            await drawDetections(picture, detections),
          )
        if (args.json) continue
        if (images.length > 1) console.log(image)
        for (const { box, label, score } of detections)
          console.log(`${label.padEnd(20)} ${score.toFixed(3)}  ${box.map((each) => each.toFixed(1)).join(' ')}`)
        console.log(`${detections.length} detections in ${milliseconds.toFixed(1)} ms`)
      }
    } finally {
      await detector.stop()
    }
    if (args.json) console.log(JSON.stringify(told.length === 1 ? told[0] : told))
  },
})

/** citty keeps only the last of a flag that is given several times. */
function namedImages(rawArgs: readonly string[]): string[] {
  const string = { type: 'string' } as const
  const { values, positionals } = parseArgs({
    args: [...rawArgs],
    options: { image: { ...string, multiple: true }, model: string, threshold: string, out: string, json: { type: 'boolean' } },
    allowPositionals: true,
    strict: false,
  })
  return [...(values.image ?? []).map(String), ...positionals]
}
