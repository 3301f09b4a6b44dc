/** Chooses the frames of one camera that are worth a person's label. Decides only: pictures are fetched and sent by its caller. */
import type { MiningSettings } from '../../protocol/mining.ts'
import type { Reason } from '../../protocol/primitives.ts'
import { thresholdOf } from '../models/read-detections.ts'
import { auditChance, Spending } from './budget.ts'
import { findLowConfidence } from './low-confidence.ts'
import { findMotion } from './motion.ts'
import { findNovelty, Novelty, nearIdentical } from './novelty.ts'
import { type Finding, joinScores, type Observation } from './observation.ts'
import { gapScore, Tracker } from './tracker.ts'

export interface Picture {
  readonly jpeg: Uint8Array
  readonly width: number
  readonly height: number
}

/** A frame that may be sent. */
export interface Candidate {
  readonly observation: Observation
  readonly reasons: readonly Reason[]
  /** Acquisition score, 0..1. */
  readonly score: number
  readonly audit: boolean
  /** Set by the caller; without one it cannot be sent. */
  picture: Picture | null
}

/** Of one reason: nothing more is sent before `until`, and the best seen so far waits for it. */
interface Window {
  until: number
  best: Candidate | null
}

/** Frames remembered to look back into a gap. */
const history = 12
/** A new best must be this much better: each one costs an encoded picture. */
const clearlyBetter = 1.05
/** Audit samples waiting for their picture. */
const maxWaitingAudits = 4

export class Miner {
  readonly #random: () => number
  readonly #tracker = new Tracker()
  readonly #novelty = new Novelty()
  readonly #spending = new Spending()
  readonly #windows = new Map<Reason, Window>()
  readonly #history: Observation[] = []
  #audits: Candidate[] = []
  #lastSent: Observation | null = null
  /** Smoothed time between frames, milliseconds. */
  #interval = 0

  constructor({ random = Math.random }: { random?: () => number } = {}) {
    this.#random = random
  }

  /**
   * Takes in a frame.
   * @returns the candidates whose picture is wanted now, while the camera still has it
   */
  look(observation: Observation, settings: MiningSettings): Candidate[] {
    const before = this.#history.at(-1) ?? null
    this.#keep(observation, before)
    // Drawn for every frame, so that the same seed chooses the same frames whatever the model thinks.
    const [auditDraw, chance] = [this.#random(), this.#random()]
    const { findings, gap } = this.#findings(observation, { before, chance, settings })
    const wanted: Candidate[] = []
    const framesPerSecond = this.#interval > 0 ? 1000 / this.#interval : 0
    if (auditDraw < auditChance(settings.auditShare, framesPerSecond, settings)) {
      const audit = { observation, reasons: ['audit' as const], score: joinScores(findings), audit: true, picture: null }
      this.#audits = [...this.#audits.slice(1 - maxWaitingAudits), audit]
      // The frame is for evaluation now: as an example to learn from it is lost.
      wanted.push(audit)
    } else if (findings.length > 0) {
      const reasons = findings.map(({ reason }) => reason)
      const candidate = { observation, reasons, score: joinScores(findings), audit: false, picture: null }
      if (this.#offer(candidate)) wanted.push(candidate)
    }
    if (gap && this.#offer(gap)) wanted.push(gap)
    return wanted
  }

  /** The candidates to send now: those whose wait is over, best first, as far as the budget goes; the others go on waiting. */
  release(at: number, settings: MiningSettings, { flush = false } = {}): Candidate[] {
    const due = new Set([...this.#audits, ...this.#due(at, flush)].filter(({ picture }) => picture !== null))
    const sent: Candidate[] = []
    for (const candidate of [...due].sort((a, b) => Number(b.audit) - Number(a.audit) || b.score - a.score)) {
      const bytes = candidate.picture!.jpeg.byteLength
      if (this.#lastSent && nearIdentical(this.#lastSent, candidate.observation)) {
        this.#drop(candidate)
        continue
      }
      if (!this.#spending.fits(at, bytes, settings)) {
        // Waiting would only choose the audit samples by when there was room.
        if (candidate.audit) this.#drop(candidate)
        continue
      }
      this.#spending.spend(at, bytes)
      this.#drop(candidate)
      for (const reason of candidate.audit ? [] : candidate.reasons) this.#window(reason).until = at + cooldown(reason, settings)
      this.#lastSent = candidate.observation
      this.#novelty.remember(candidate.observation)
      sent.push(candidate)
    }
    return sent
  }

  /** Forgets a candidate whose picture could not be had. */
  #drop(candidate: Candidate): void {
    this.#audits = this.#audits.filter((each) => each !== candidate)
    for (const window of this.#windows.values()) if (window.best === candidate) window.best = null
  }

  giveUp(candidate: Candidate): void {
    this.#drop(candidate)
  }

  #keep(observation: Observation, before: Observation | null): void {
    this.#history.push(observation)
    if (this.#history.length > history) this.#history.shift()
    if (!before) return
    const interval = Math.max(1, observation.at - before.at)
    this.#interval = this.#interval === 0 ? interval : 0.95 * this.#interval + 0.05 * interval
  }

  #findings(
    observation: Observation,
    options: { before: Observation | null; chance: number; settings: MiningSettings },
  ): { findings: Finding[]; gap: Candidate | null } {
    const { before, chance, settings } = options
    const { model, detections, thresholds } = observation
    const novel = findNovelty(this.#novelty.distance(observation), settings.novelty)
    const beforeThumbnail = before?.thumbnail ?? null
    if (model === null) {
      const moving = findMotion(observation, { before: beforeThumbnail, counted: 0, settings })
      const score = 0.1 * chance + 0.5 * (moving?.score ?? 0)
      return { findings: [{ reason: 'cold-start', score }, ...(novel ? [novel] : [])], gap: null }
    }
    const counted = detections.filter(({ label, score }) => score >= thresholdOf(thresholds, label))
    const gaps = this.#tracker.update(observation.frame, observation.at, counted)
    const findings = [
      findLowConfidence(observation, settings.lowConfidence),
      findMotion(observation, { before: beforeThumbnail, counted: counted.length, settings }),
      novel,
    ]
    return { findings: findings.filter((each) => each !== null), gap: this.#gapCandidate(gaps) }
  }

  /** The frame in the middle of the gap that should teach most, when it is still remembered. */
  #gapCandidate(gaps: ReturnType<Tracker['update']>): Candidate | null {
    const best = [...gaps].sort((a, b) => gapScore(b) - gapScore(a))[0]
    const frame = best?.missed[best.missed.length >> 1]
    const observation = this.#history.find((each) => each.frame === frame)
    if (!best || !observation) return null
    return { observation, reasons: ['track-gap'], score: Math.min(1, gapScore(best)), audit: false, picture: null }
  }

  /** True when it became the best of any of its reasons. */
  #offer(candidate: Candidate): boolean {
    if (this.#lastSent && nearIdentical(this.#lastSent, candidate.observation)) return false
    let wanted = false
    for (const reason of candidate.reasons) {
      const window = this.#window(reason)
      if (window.best && candidate.score <= window.best.score * clearlyBetter) continue
      window.best = candidate
      wanted = true
    }
    return wanted
  }

  #window(reason: Reason): Window {
    const known = this.#windows.get(reason) ?? { until: 0, best: null }
    this.#windows.set(reason, known)
    return known
  }

  #due(at: number, flush: boolean): Candidate[] {
    return [...this.#windows.values()].flatMap(({ until, best }) => (best && (flush || until <= at) ? [best] : []))
  }
}

/** Milliseconds. In a cold start every frame is a candidate, so the hour's budget is spread over the hour (unless nothing is paced). */
function cooldown(reason: Reason, { cooldownSeconds, maxSamplesPerHour }: MiningSettings): number {
  const spread = reason === 'cold-start' && cooldownSeconds > 0 && maxSamplesPerHour > 0 ? 3600 / maxSamplesPerHour : 0
  return 1000 * Math.max(cooldownSeconds, spread)
}
