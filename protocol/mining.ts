/** Settings that say which frames a device sends, how many and how often; the hub sends them in `desired`, agent.yaml may override them. */
import { type Static, Type } from 'typebox'
import { Share } from './primitives.ts'

export const MiningSettings = Type.Object(
  {
    /** Detections with a score inside this band make a frame `low-confidence`. */
    lowConfidence: Type.Object({ from: Share, to: Share }, { additionalProperties: false, default: { from: 0.15, to: 0.45 } }),
    /** Share of looked-at frames chosen at random for evaluation (`audit`), whatever the model thought. */
    auditShare: Type.Number({ minimum: 0, maximum: 1, default: 0.002 }),
    /** Motion score (0..1) from which a frame without detection is interesting. */
    motion: Type.Number({ minimum: 0, maximum: 1, default: 0.02 }),
    /** Cosine distance of the frame's embedding to those already sent, from which a frame is `novelty`. */
    novelty: Type.Number({ minimum: 0, maximum: 2, default: 0.25 }),
    /** After a sample of one reason, the best of this window is kept before the next is sent; seconds. */
    cooldownSeconds: Type.Number({ minimum: 0, maximum: 86_400, default: 10 }),
    /** Upload budget per camera. */
    maxSamplesPerHour: Type.Integer({ minimum: 0, default: 120 }),
    maxBytesPerHour: Type.Integer({ minimum: 0, default: 50_000_000 }),
    jpegQuality: Type.Integer({ minimum: 30, maximum: 100, default: 88 }),
  },
  { additionalProperties: false, default: {} },
)
export type MiningSettings = Static<typeof MiningSettings>
