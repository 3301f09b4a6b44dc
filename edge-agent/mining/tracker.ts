/** Follows boxes from frame to frame by overlap, and finds the frames in between in which the model lost one. */
import { area, type Box, intersection, iou } from '../../protocol/boxes.ts'
import type { Detection } from '../../protocol/primitives.ts'

/** A track that was there, was not found in some frames, and came back where it was to be expected. */
export interface Gap {
  /** Frames in which it was missing. */
  readonly missed: readonly number[]
  readonly label: string
  /** Mean score of the track around the gap. */
  readonly score: number
}

interface Missed {
  readonly frame: number
  /** Another detection covered the place: the object was hidden, not overlooked. */
  readonly hidden: boolean
}

interface Track {
  readonly label: string
  box: Box
  /** Pixels per millisecond of each side. */
  velocity: Box
  at: number
  hits: number
  score: number
  missed: Missed[]
}

/** Overlap by which a detection continues a track (IoU tracker: Bochinski, Eiselein, Sikora, 2017). */
const minOverlap = 0.3
/** Found so often, a track is no accident. */
const establishedHits = 3
/** Longer away, it may be another object. */
const maxMissed = 5
const maxMissedMilliseconds = 3000
const hiddenShare = 0.3
const maxTracks = 300

const still: Box = [0, 0, 0, 0]
const expectedBox = ({ box, velocity, at }: Track, now: number): Box =>
  [0, 1, 2, 3].map((side) => box[side]! + velocity[side]! * (now - at)) as unknown as Box

export class Tracker {
  #tracks: Track[] = []

  get size(): number {
    return this.#tracks.length
  }

  /**
   * @param detections those that count (above their thresholds)
   * @param at milliseconds
   * @returns the gaps that ended with this frame (Jin et al., "Unsupervised Hard Example Mining from Videos", 2018: what flickers between
   *   frames was overlooked)
   */
  update(frame: number, at: number, detections: readonly Detection[]): Gap[] {
    const pairs = this.#tracks.flatMap((track) => {
      const expected = expectedBox(track, at)
      return detections
        .filter(({ label }) => label === track.label)
        .map((detection) => ({
          track,
          detection,
          overlap: Math.max(iou(expected, detection.box), iou(track.box, detection.box)),
        }))
        .filter(({ overlap }) => overlap >= minOverlap)
    })
    const taken = new Set<Track | Detection>()
    const gaps: Gap[] = []
    for (const { track, detection } of pairs.sort((a, b) => b.overlap - a.overlap)) {
      if (taken.has(track) || taken.has(detection)) continue
      taken.add(track).add(detection)
      const gap = this.#continue(track, detection, at)
      if (gap) gaps.push(gap)
    }
    for (const track of this.#tracks) {
      if (taken.has(track)) continue
      const expected = expectedBox(track, at)
      const hidden = detections.some(({ box }) => intersection(box, expected) > hiddenShare * area(expected))
      track.missed.push({ frame, hidden })
    }
    this.#tracks = this.#tracks.filter(({ missed, at: seen }) => missed.length <= maxMissed && at - seen <= maxMissedMilliseconds)
    for (const detection of detections) {
      if (taken.has(detection) || this.#tracks.length >= maxTracks) continue
      const { label, box, score } = detection
      this.#tracks.push({ label, box, velocity: still, at, hits: 1, score, missed: [] })
    }
    return gaps
  }

  #continue(track: Track, { box, score }: Detection, at: number): Gap | null {
    const time = Math.max(1, at - track.at)
    const seen = track.missed.filter(({ hidden }) => !hidden).map(({ frame }) => frame)
    const gap =
      track.hits >= establishedHits && seen.length > 0 && seen.length === track.missed.length
        ? { missed: seen, label: track.label, score: (track.score + score) / 2 }
        : null
    // Half old, half new: a single jittery box must not throw the expectation off.
    track.velocity = [0, 1, 2, 3].map(
      (side) => 0.5 * track.velocity[side]! + (0.5 * (box[side]! - track.box[side]!)) / time,
    ) as unknown as Box
    track.box = box
    track.at = at
    track.hits++
    track.score = 0.8 * track.score + 0.2 * score
    track.missed = []
    return gap
  }
}

/** How much a label on a lost frame should teach: much when the track is sure and the gap short, so that hardly anything else changed. */
export const gapScore = ({ score, missed }: Gap): number => score / Math.sqrt(missed.length)
