/** What `muninn inspect` tells of a file. It comes from another process, so it has a schema. */
import { type Static, Type } from 'typebox'
import { Header } from '../onnx/header.ts'

/** In pixels. */
export interface PictureSize {
  readonly width: number
  readonly height: number
}

/** Whether something can be done with the file; if not, why not and what helps. */
export const Verdict = Type.Object({
  can: Type.Boolean(),
  /** What it is by, or why not. */
  why: Type.String(),
  cure: Type.Optional(Type.String()),
})
export type Verdict = Static<typeof Verdict>

export const Inspection = Type.Object({
  header: Header,
  run: Verdict,
  adopt: Verdict,
  fineTune: Verdict,
})
export type Inspection = Static<typeof Inspection>

/** What the probing process says, in this order; `failed` ends it early. */
export const ProbeMessage = Type.Union([
  Type.Object({ kind: Type.Literal('doing'), what: Type.String() }),
  Type.Object({ kind: Type.Literal('header'), header: Header }),
  Type.Object({ kind: Type.Literal('run'), verdict: Verdict }),
  Type.Object({ kind: Type.Literal('adopt'), verdict: Verdict }),
  Type.Object({ kind: Type.Literal('fineTune'), verdict: Verdict }),
  Type.Object({ kind: Type.Literal('failed'), code: Type.String(), message: Type.String() }),
])
export type ProbeMessage = Static<typeof ProbeMessage>
