/** Small networks laid out as EfficientDet, RetinaNet and FCOS are exported: anchors or points whose classes are sigmoids without a background, not decoded. */
import type { Value } from '../../trainer/graph/builder.ts'
import type { Graph } from '../../trainer/onnx/graph.ts'
import { type ForeignOptions, Net, prior } from './foreign-net.ts'

export interface AnchorsExport {
  readonly strides: readonly number[]
  readonly perCell: number
  /** `maps`: of each grid one of classes and one of boxes (effdet); else lists of all anchors, and which of them comes first. */
  readonly form: 'maps' | 'boxes first' | 'scores first'
  readonly sigmoid?: boolean
  /** Side of the last filters: 1 where convolutions are separable. */
  readonly side?: 1 | 3
  /** Activations of MobileNet's kind, up to 6. */
  readonly relu6?: boolean
  /** Anchors [n, 4] that the file gives beside its lists, and the maps that its heads see. */
  readonly anchors?: readonly (readonly number[])[]
}

/** FCOS of torchvision: lists of class logits, of distances that end in a ReLU, and of centre-ness. */
export function fcosNet(layout: ForeignOptions): Graph {
  const net = new Net(layout)
  const { g } = net
  const image = g.input('images', 'float32', [1, 3, layout.height, layout.width])
  const features = net.features(image, [8, 16, 32, 64, 128])
  const list = (name: string, k: number, end: (map: Value) => Value, bias = 0) =>
    g.concat(
      features.map((x, i) => {
        const map = end(net.head(`${name}${i}`, x, k, () => bias))
        const [, , h, w] = map.shape as [number, number, number, number]
        return g.reshape(g.transpose(g.reshape(map, [1, -1, k, h, w]), [0, 3, 4, 1, 2]), [1, -1, k])
      }),
      1,
    )
  const outputs = [
    list('cls', layout.classes, (map) => map, layout.loud ? 0 : prior),
    list('reg', 4, (map) => g.relu(map), layout.loud ? 0 : 1),
    list('ctr', 1, (map) => map),
  ]
  return net.done(outputs, ['cls_logits', 'bbox_regression', 'bbox_ctrness'], layout.opset)
}

export function anchorsNet(layout: ForeignOptions, options: AnchorsExport): Graph {
  const { strides, perCell, form, sigmoid, relu6, anchors, side = 1 } = options
  const net = new Net(layout)
  const { g } = net
  const { classes, width, height, opset } = layout
  const image = g.input('images', 'float32', [1, 3, height, width])
  const features = net.features(image, strides).map((x) => (relu6 ? g.op('Clip', [x, g.constant(0), g.constant(6)]) : x))
  const kinds = features.map((x, i) => net.head(`cls${i}`, x, perCell * classes, () => (layout.loud ? 0 : prior), side))
  const boxes = features.map((x, i) => net.head(`reg${i}`, x, perCell * 4, undefined, side))
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
