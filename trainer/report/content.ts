/** What a report is made of; whoever ran something fills it in. Parts that were not measured are null and left out of the page. */
import type { Evaluation, RunReport } from '../../protocol/http/reports.ts'
import type { Analysed } from '../evaluation/analysis.ts'
import type { CurvePoint } from '../loop/train-folder.ts'
import type { Piece } from './markup.ts'

export interface WorstShown {
  readonly name: string
  /** Of the picture as it is shown; boxes are in these pixels. */
  readonly width: number
  readonly height: number
  /** Small; base64. */
  readonly jpeg: string
  /** `wrong`: missed, or made up; only those are named, for the others are plain to see. */
  readonly truths: readonly (ShownBox & { readonly wrong: boolean })[]
  readonly said: readonly (ShownBox & { readonly score: number; readonly wrong: boolean })[]
}

export interface ShownBox {
  readonly box: readonly [x1: number, y1: number, x2: number, y2: number]
  readonly label: string
}

export interface DataCounts {
  readonly digest: string
  readonly splits: readonly {
    readonly name: 'training' | 'held out'
    readonly pictures: number
    readonly boxes: number
    readonly empty: number
  }[]
  readonly perClass: readonly { readonly label: string; readonly training: number; readonly heldOut: number }[]
  readonly notes: readonly string[]
}

export interface QuantizationShown {
  readonly proposed: boolean
  readonly reasons: readonly string[]
  readonly float: FileShown
  readonly int8: FileShown
}

interface FileShown {
  readonly mAP50: number
  readonly 'mAP50-95': number
  readonly milliseconds: number
  readonly bytes: number
}

export interface ReportContent {
  readonly title: string
  /** Milliseconds since 1970. */
  readonly at: number
  readonly model: {
    readonly sha256: string
    readonly bytes: number
    readonly width: number
    readonly height: number
    readonly architecture: string
    /** Median of the inference alone; null where nothing was measured. */
    readonly milliseconds: number | null
  }
  readonly curves: readonly CurvePoint[]
  readonly training: { readonly steps: number; readonly seconds: number } | null
  /** Null: nothing was held out. */
  readonly analysed:
    | (Pick<Analysed, 'images' | 'numbers' | 'intervals' | 'perClass' | 'analysis'> & { readonly worst: readonly WorstShown[] })
    | null
  readonly champion: Pick<Evaluation, 'mAP50' | 'mAP50-95' | 'perClass' | 'millisecondsPerImage'> | null
  readonly difference: RunReport['difference']
  readonly quantization: QuantizationShown | null
  readonly data: DataCounts | null
  /** What a shell is given to do it again. */
  readonly command: string | null
  readonly settings: readonly (readonly [name: Piece, value: Piece])[]
  readonly machine: readonly (readonly [name: string, value: string])[]
}
