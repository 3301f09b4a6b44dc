/** Plays a trainer through the HTTP API: real leases, real uploads; only the training itself is left out. */
import { Type } from 'typebox'
import type { Evaluation, RunReport } from '../../protocol/http/reports.ts'
import { Run } from '../../protocol/http/runs.ts'
import { Token } from '../../protocol/http/session.ts'
import { FinishRun, HeartbeatAnswer, RunLease } from '../../protocol/http/trainers.ts'
import { FileReference } from '../../protocol/manifest.ts'
import { parse } from '../../protocol/parse.ts'
import { say } from '../../protocol/sentences.ts'
import type { TestHub } from './hub.ts'

const exact = (value: number) => ({ value, low: value, high: value })

export function evaluation(model: string, mAP50: number, images = 20): Evaluation {
  return {
    model,
    images,
    mAP50: exact(mAP50),
    'mAP50-95': exact(mAP50 / 2),
    perClass: [{ label: 'car', truths: 30, AP50: mAP50, 'AP50-95': mAP50 / 2, threshold: 0.35, precision: [1, 0.5] }],
    worst: [],
    millisecondsPerImage: 5,
  }
}

export function report(model: string, mAP50: number, champion: { model: string; mAP50: number } | null, images = 20): RunReport {
  const gain = champion && {
    value: mAP50 - champion.mAP50,
    low: mAP50 - champion.mAP50 - 0.02,
    high: mAP50 - champion.mAP50 + 0.02,
  }
  return {
    challenger: evaluation(model, mAP50, images),
    champion: champion && evaluation(champion.model, champion.mAP50, images),
    difference: gain && { mAP50: gain, 'mAP50-95': gain },
    trainMinutes: 0.1,
    steps: 10,
    device: 'test: cpu (2 threads), the quickest',
    trainedOn: { machine: 'test', told: [say('log.device-quickest', { device: 'cpu (2 threads)' })] },
  }
}

export class TrainerPlayer {
  readonly #test: TestHub
  readonly #name: string
  readonly #token: string

  constructor({ test, name, token }: { test: TestHub; name: string; token: string }) {
    this.#test = test
    this.#name = name
    this.#token = token
  }

  static async create(test: TestHub, name = 'trainer-1'): Promise<TrainerPlayer> {
    const { token } = await test.ask(Token, 'POST', '/api/tokens', { name, role: 'trainer' })
    return new TrainerPlayer({ test, name, token: token! })
  }

  /** With this trainer's own token and, where given, a lease. */
  async request(method: 'GET' | 'POST' | 'PUT', url: string, body?: unknown, lease?: string) {
    const headers = { authorization: `Bearer ${this.#token}`, ...(lease ? { 'muninn-lease': lease } : {}) }
    return await this.#test.request(method, url, body, headers)
  }

  /** @param held as after a restart: a lease that it was given before */
  async lease(held?: { run: number; lease: string }): Promise<RunLease | null> {
    const body = { trainer: this.#name, device: 'cpu', ...(held && { held }) }
    const answer = await this.request('POST', '/api/trainer/lease', body)
    if (answer.status === 204) return null
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body))
    return parse(RunLease, answer.body, 'lease')
  }

  async heartbeat({ run, lease }: RunLease, step: number, lines: readonly string[] = []): Promise<boolean> {
    const body = {
      progress: { phase: 'training', step, steps: 10, etaSeconds: 1, imagesPerSecond: 3 },
      points: [{ step, at: Date.now(), values: { loss: 1 / (step + 1) } }],
      lines: lines.map((text) => ({ at: Date.now(), text })),
    }
    const answer = await this.request('POST', `/api/trainer/runs/${run.id}/heartbeat`, body, lease)
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body))
    return parse(HeartbeatAnswer, answer.body, 'heartbeat').cancel
  }

  /** Hands in a model and its report; champion's mAP50 is what the test says. */
  async finish({ run, lease }: RunLease, file: Uint8Array, { mAP50, before }: { mAP50: number; before: number }): Promise<Run> {
    const upload = await this.request('PUT', `/api/trainer/runs/${run.id}/model`, file, lease)
    if (upload.status !== 200) throw new Error(JSON.stringify(upload.body))
    const { sha256 } = parse(FileReference, upload.body, 'upload')
    const finish = parse(
      FinishRun,
      {
        report: report(sha256, mAP50, run.champion === null ? null : { model: run.champion, mAP50: before }),
        model: sha256,
        selfTest: null,
        input: { width: 32, height: 32, resize: 'letterbox' },
        classes: ['car'],
        thresholds: { car: 0.35 },
        architecture: 'test',
      },
      'finish',
    )
    const answer = await this.request('POST', `/api/trainer/runs/${run.id}/finish`, finish, lease)
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body))
    return parse(Run, answer.body, 'finish')
  }
}

export const Anything = Type.Unknown()
