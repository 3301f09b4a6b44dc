/** Small networks laid out as EfficientDet and RetinaNet are exported: anchors whose classes are sigmoids without a background, not decoded. */
import type { Value } from '../../trainer/graph/builder.ts'
import type { Graph } from '../../trainer/onnx/graph.ts'
import { type ForeignOptions, Net, prior } from './foreign-net.ts'

export interface AnchorsExport {
  readonly strides: readonly number[]
  readonly perCell: number
  /** `maps`: of each grid one of classes and one of boxes (effdet); else lists of all anchors, and which of them comes first. */
  readonly form: 'maps' | 'boxes first' | 'scores first'
  readonly sigmoid?: boolean
  /** Activations of MobileNet's kind, up to 6. */
  readonly relu6?: boolean
  /** Anchors [n, 4] that the file gives beside its lists, and the maps that its heads see. */
  readonly anchors?: readonly (readonly number[])[]
}

export function anchorsNet(layout: ForeignOptions, options: AnchorsExport): Graph {
  const { strides, perCell, form, sigmoid, relu6, anchors } = options
  const net = new Net(layout)
  const { g } = net
  const { classes, width, height, opset } = layout
  const image = g.input('images', 'float32', [1, 3, height, width])
  const features = net.features(image, strides).map((x) => (relu6 ? g.op('Clip', [x, g.constant(0), g.constant(6)]) : x))
  const kinds = features.map((x, i) => net.head(`cls${i}`, x, perCell * classes, () => (layout.loud ? 0 : prior)))
  const boxes = features.map((x, i) => net.head(`reg${i}`, x, perCell * 4))
  if (form === 'maps') {
    const named = (name: string) => strides.map((stride) => `${name}_${stride}`)
    return net.done([...kinds, ...boxes], [...named('kinds'), ...named('boxes')], opset)
  }
  const list = (maps: readonly Value[], k: number) =>
    g.concat(
      maps.map((map) => {
        const [, , h, w] = map.shape as [number, number, number, number]
        return g.reshape(g.transpose(g.reshape(map, [1, -1, k, h, w]), [0, 3, 4, 1, 2]), [1, -1, k])
      }),
      1,
    )
  const logits = list(kinds, classes)
  const scores = [sigmoid ? g.sigmoid(logits) : logits, 'classification'] as const
  const offsets = [list(boxes, 4), 'regression'] as const
  const beside = anchors
    ? [[g.constant(anchors.flat(), [1, anchors.length, 4]), 'anchors'] as const, [features[0]!, 'p3'] as const]
    : []
  const outputs = [...(form === 'boxes first' ? [offsets, scores] : [scores, offsets]), ...beside]
  return net.done(
    outputs.map(([value]) => value),
    outputs.map(([, name]) => name),
    opset,
  )
}
