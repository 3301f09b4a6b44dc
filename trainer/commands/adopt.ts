/** `muninn adopt`: a foreign detector into the deployed model's form. */
import { defineCommand } from 'citty'
import { MuninnError } from '../../protocol/errors.ts'
import { adoptFile } from '../adapters/adopt-file.ts'
import { adapters } from '../adapters/table.ts'
import { assertRuns } from '../inspection/probe.ts'

/** Three numbers, or one for all channels. */
function channels(text: string | undefined, flag: string): number[] | undefined {
  if (text === undefined) return undefined
  const numbers = text.split(',').map(Number)
  if (numbers.some((each) => !Number.isFinite(each)) || (numbers.length !== 1 && numbers.length !== 3))
    throw new MuninnError('INVALID_INPUT', `--${flag} ${text}: one number, or three with commas between, in the network's order`)
  return numbers.length === 1 ? [numbers[0]!, numbers[0]!, numbers[0]!] : numbers
}

function anchorSizes(text: string | undefined): number[] | undefined {
  const sizes = text?.split(',').map(Number)
  if (sizes?.some((each) => !(each > 0)) || (sizes?.length ?? 0) % 2 !== 0)
    throw new MuninnError('INVALID_INPUT', `--anchors ${text}: widths and heights in pixels with commas between are wanted`)
  return sizes
}

function oneOf<T extends string>(text: string | undefined, flag: string, allowed: readonly T[]): T | undefined {
  if (text === undefined) return undefined
  const found = allowed.find((each) => each === text)
  if (!found) throw new MuninnError('INVALID_INPUT', `--${flag} ${text}: ${allowed.join(' or ')} is wanted`)
  return found
}

function sizeOf(text: string | undefined): { width: number; height: number } | undefined {
  if (text === undefined) return undefined
  const [width, height = width] = text.split('x').map(Number)
  if (!width || !height || !Number.isInteger(width) || !Number.isInteger(height) || Math.max(width, height) > 4096)
    throw new MuninnError('INVALID_INPUT', `--size ${text}: 416, or width x height as in 320x240`)
  return { width, height }
}

export const adopt = defineCommand({
  meta: {
    name: 'adopt',
    description: `Writes normalisation, decoding, suppression and an embedding around a foreign detector, so that it can be deployed.

  muninn adopt yolox_nano.onnx --classes coco.names --out yolox.onnx

The family is found from the file's structure, and it is said by what. How a family's authors prepare pictures is known; where a file
wants them otherwise, tell it: network pixel = (pixel 0..255 x scale - mean) / std.

  muninn adopt mine.onnx --adapter raw --boxes cxcywh --channels bgr --input-scale 0.00392157 --classes names.txt --out mine-muninn.onnx`,
  },
  args: {
    input: { type: 'positional', description: 'the ONNX file', required: true },
    adapter: { type: 'string', default: 'auto', description: `its family: ${Object.keys(adapters).join(', ')}` },
    classes: {
      type: 'string',
      description: 'text file with its class names, one a line; left out: as the ONNX file names them, where it does',
    },
    out: { type: 'string', description: 'where to write the deployed model', required: true },
    size: { type: 'string', description: 'input in pixels, for a file that leaves it open: 416, or 320x240' },
    channels: { type: 'string', description: 'order that the network wants: rgb or bgr' },
    'input-scale': { type: 'string', description: 'what pixels of 0..255 are multiplied with' },
    mean: { type: 'string', description: 'taken off after that: a number, or one for each channel' },
    std: { type: 'string', description: 'and divided by: a number, or one for each channel' },
    resize: { type: 'string', description: 'how it was trained to see pictures: letterbox or stretch' },
    boxes: {
      type: 'string',
      description: 'form of the boxes of a raw model: xyxy or cxcywh; found from its numbers when left out',
    },
    anchors: {
      type: 'string',
      description:
        'sizes of the anchors of a YOLOv3 to v5, Yolo-FastestV2, SSD, EfficientDet or RetinaNet export that is not decoded inside: 10,13,16,30,... in pixels, fine grid to coarse',
    },
  },
  async run({ args }) {
    const size = sizeOf(args.size)
    await assertRuns(args.input, { size })
    const { classes, width, height, why, trainable } = await adoptFile({
      input: args.input,
      adapter: args.adapter,
      classes: args.classes,
      output: args.out,
      size,
      normalization: {
        channels: oneOf(args.channels, 'channels', ['rgb', 'bgr']),
        scale: channels(args['input-scale'], 'input-scale')?.[0],
        mean: channels(args.mean, 'mean'),
        deviation: channels(args.std, 'std'),
      },
      resize: oneOf(args.resize, 'resize', ['letterbox', 'stretch']),
      boxes: oneOf(args.boxes, 'boxes', ['xyxy', 'cxcywh']),
      anchors: anchorSizes(args.anchors),
    })
    console.log(why)
    console.log(
      `${args.out}: ${width} x ${height}, ${classes.length} classes; it can be run${trainable ? ' and trained further' : ', not trained'}`,
    )
  },
})
