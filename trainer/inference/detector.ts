/** Runs a deployed file over pictures, as a device would, and gives detections in picture pixels. */
import ort from 'onnxruntime-node'
import { type Box, clip } from '../../protocol/boxes.ts'
import { fitPicture, type Picture } from '../../protocol/letterbox.ts'
import { type Specification, specificationOf } from '../detector/specification.ts'
import { readOnnx } from '../onnx/read.ts'

export interface Found {
  /** x1 y1 x2 y2 in pixels of the picture */
  readonly box: Box
  /** Index of the class in the model's list. */
  readonly label: number
  readonly score: number
}

export class PictureDetector {
  readonly specification: Specification
  readonly width: number
  readonly height: number
  readonly #session: ort.InferenceSession

  private constructor(session: ort.InferenceSession, specification: Specification, width: number, height: number) {
    this.#session = session
    this.specification = specification
    this.width = width
    this.height = height
  }

  /** @param threads 0: as onnxruntime chooses @throws MuninnError BAD_MODEL when the bytes are no deployed model */
  static async load(model: Uint8Array, { threads = 0 }: { threads?: number } = {}): Promise<PictureDetector> {
    const graph = readOnnx(model)
    const specification = specificationOf(graph)
    const [, height, width] = graph.inputs[0]!.shape.map(Number)
    const session = await ort.InferenceSession.create(model, { intraOpNumThreads: threads, interOpNumThreads: 1 })
    return new PictureDetector(session, specification, width!, height!)
  }

  /** Best first. One row may carry several classes (class-agnostic suppression): each row gives its best. */
  async detect(picture: Picture): Promise<{ found: Found[]; embedding: Float32Array; milliseconds: number }> {
    const { width, height } = this
    const { tensor, fit } = fitPicture(picture, { width, height, resize: this.specification.resize })
    const start = performance.now()
    const { boxes, scores, embedding } = await this.#session.run({
      image: new ort.Tensor('uint8', tensor, [1, height, width, 3]),
    })
    const milliseconds = performance.now() - start
    const [b, s] = [boxes!.data as Float32Array, scores!.data as Float32Array]
    const classes = this.specification.classes.length
    const found = Array.from({ length: b.length / 4 }, (_, i): Found => {
      const row = s.subarray(i * classes, (i + 1) * classes)
      let label = 0
      for (let c = 1; c < classes; c++) if (row[c]! > row[label]!) label = c
      const box: Box = [
        b[i * 4]! / fit.scaleX,
        b[i * 4 + 1]! / fit.scaleY,
        b[i * 4 + 2]! / fit.scaleX,
        b[i * 4 + 3]! / fit.scaleY,
      ]
      return { box: clip(box, picture.width, picture.height), label, score: row[label]! }
    })
    return { found, embedding: embedding!.data as Float32Array, milliseconds }
  }

  async stop(): Promise<void> {
    await this.#session.release()
  }
}
