/**
 * RTMDet (Lyu et al. 2022) of mmdetection, mmdeploy and mmyolo: BGR pixels by their own mean and deviation; of each grid class logits and the four
 * distances of a box from a cell's corner, in strides or, behind the maps, in pixels; larger ones of mmdetection predict logarithms.
 * Decoded inside, with suppression or without, or the maps alone: those are like YOLO26's, and only what lies below them tells which they are.
 */
import { type Adapter, type AdapterOptions, misfit } from './adapter.ts'
import { trainableCore } from './build-core.ts'
import type { Foreign } from './foreign.ts'
import { comesThroughDepthwise, lastConvolutions, sharesFilters } from './last-convolutions.ts'
import { distancesOf, type Found, family, type Grid, mapsAlone } from './rtmdet-maps.ts'
import { unclear } from './yolov8-maps.ts'

export const rtmdet: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const found = decoded(foreign, classes) ?? mapsAlone(foreign, classes)
  if (!found)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; boxes [1, cells, 4] and scores [1, cells, ${classes}] made of a map of 4 distances and one of ${classes} classes for each grid, or these maps, are wanted`,
    )
  const { file, grids, own, words } = found
  if (!found.decoded) refuseOthers(file, grids, options)
  const sides = grids.map((each) => each.sides)
  const predicted = file.maker(sides[0]!)?.op === 'Exp' ? 'logarithms of distances' : 'distances'
  return await trainableCore({
    family,
    foreign: file,
    options,
    architecture: 'rtmdet',
    normalization: { channels: 'bgr', scale: 1, mean: [103.53, 116.28, 123.675], deviation: [57.375, 57.12, 58.395] },
    resize: 'letterbox',
    why: `${grids.length} grids of class scores and ${predicted}, measured from the corners of cells, ${words}; pictures as its authors have them`,
    head: 'rtmdet',
    levels: grids.map(({ kinds, sides }) => [kinds, sides]),
    fields: { strides: file.strides(sides, family), bins: 1, cellOffset: 0, nms: 'per-class', nmsIou: 0.65 },
    classMaps: grids.map(({ kinds }) => ({ map: kinds, before: 0, after: 0 })),
    own: [own],
  })
}

/** Boxes and scores of all cells, as outputs or before a suppression inside. */
function decoded(foreign: Foreign, classes: number): Found | undefined {
  const chosen = foreign.beforeSuppression()
  const { boxes, scores } = chosen ?? outputPair(foreign) ?? {}
  if (boxes === undefined || scores === undefined) return undefined
  const cells = foreign.shape(boxes)[1]!
  const shape = foreign.shape(scores).join()
  const turned = shape === `1,${classes},${cells}`
  if (!turned && shape !== `1,${cells},${classes}`) return undefined
  const file = foreign.upTo(boxes, scores)
  const [kinds, sides] = [mapsOf(file, scores, classes), mapsOf(file, boxes, 4)]
  const sizes = [kinds, sides].map((maps) => maps.map((map) => file.shape(map).slice(2).join()).join(' '))
  if (kinds.length === 0 || sizes[0] !== sizes[1]) return undefined
  return {
    file,
    grids: kinds.map((map, level) => ({ kinds: map, sides: distancesOf(file, sides[level]!) })),
    own: [
      { output: boxes, make: (_, made) => made.boxes },
      { output: scores, make: (g, made) => (turned ? g.transpose(made.scores, [1, 0]) : made.scores) },
    ],
    decoded: true,
    words: chosen ? 'decoded inside, of which the file would choose the best' : 'decoded inside',
  }
}

/** Boxes [1, n, 4] and scores, in two outputs or side by side in one; with four classes the scores are those that come from a sigmoid. */
function outputPair(foreign: Foreign): { boxes: string; scores: string } | undefined {
  const outputs = foreign.graph.outputs.map(({ name }) => name)
  const names = outputs.length === 1 ? foreign.parts(outputs[0]!).map((part) => foreign.behind(part)) : outputs
  const isScores = (name: string) => foreign.maker(foreign.behind(name))?.op === 'Sigmoid'
  const boxes = names.find((name) => /^1,\d+,4$/.test(foreign.shape(name).join()) && !isScores(name))
  const scores = names.find((name) => name !== boxes)
  return names.length === 2 && boxes !== undefined && scores !== undefined ? { boxes, scores } : undefined
}

/** Maps of so many channels that a value comes from, fine to coarse; none where it comes from others. */
function mapsOf(foreign: Foreign, name: string, channels: number): string[] {
  const maps = lastConvolutions(foreign, name).map(({ outputs }) => outputs[0]!)
  const fits = maps.every((map) => foreign.shape(map).length === 4 && foreign.shape(map)[1] === channels)
  return fits ? maps.sort((a, b) => foreign.cells(b) - foreign.cells(a)) : []
}

/** @throws MuninnError BAD_MODEL where maps may be another family's, or are */
function refuseOthers(foreign: Foreign, grids: readonly Grid[], { named }: AdapterOptions): void {
  const share = sharesFilters(
    foreign,
    grids.map(({ sides }) => sides),
  )
  if (share) return
  if (grids.every(({ kinds }) => comesThroughDepthwise(foreign, kinds)))
    throw misfit(family, "its classes come through depthwise convolutions, as YOLO26's do")
  if (!named) throw misfit(family, unclear('rtmdet'))
}
