/** Detections that the model itself is unsure of. */
import { iou } from '../../protocol/boxes.ts'
import type { MiningSettings } from '../../protocol/mining.ts'
import { thresholdOf } from '../models/read-detections.ts'
import type { Finding, Observation } from './observation.ts'

const logit = (p: number) => Math.log(p / (1 - p))
const inside = (p: number) => Math.min(Math.max(p, 1e-4), 1 - 1e-4)

/**
 * Binary entropy in bits (Settles, "Active Learning Literature Survey", 2009, 3.1), with the class's threshold in the place of one half:
 * 1 where the decision is a toss-up, falling to 0 on both sides.
 */
export function uncertainty(score: number, threshold: number): number {
  const p = 1 / (1 + Math.exp(logit(inside(threshold)) - logit(inside(score))))
  return -(p * Math.log2(p) + (1 - p) * Math.log2(1 - p))
}

/** The band of doubt of one class: the asked one, widened to hold the score at which this class's decision turns. */
export function bandOf(band: MiningSettings['lowConfidence'], threshold: number): { from: number; to: number } {
  return { from: Math.min(band.from, threshold), to: Math.max(band.to, threshold) }
}

/**
 * `low-confidence` when any detection is inside its class's band. The frame's score grows with the sum over the doubtful boxes (the
 * aggregation that taught most in Brust, Käding, Denzler, "Active Learning for Deep Object Detection", 2019), saturating at 1.
 */
export function findLowConfidence(
  { detections, thresholds }: Observation,
  band: MiningSettings['lowConfidence'],
): Finding | null {
  const sure = detections.filter(({ label, score }) => score > bandOf(band, thresholdOf(thresholds, label)).to)
  let sum = 0
  for (const detection of detections) {
    const threshold = thresholdOf(thresholds, detection.label)
    const { from, to } = bandOf(band, threshold)
    if (detection.score < from || detection.score > to) continue
    // What non-maximum suppression left beside a sure box of the same object is not doubt.
    if (sure.some(({ box, label }) => label === detection.label && iou(box, detection.box) >= 0.3)) continue
    sum += uncertainty(detection.score, threshold)
  }
  return sum > 0 ? { reason: 'low-confidence', score: 1 - Math.exp(-sum / 2) } : null
}
