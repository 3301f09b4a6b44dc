/** What `muninn up` sets up on its first start, and finds again on every later one. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { basename, extname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Type } from 'typebox'
import { parse as parseYaml, stringify } from 'yaml'
import { AgentConfig } from '../protocol/config.ts'
import { MuninnError } from '../protocol/errors.ts'
import { Enrolment, Settings } from '../protocol/http/fleet.ts'
import { Demo } from '../protocol/http/labelling.ts'
import { ModelVersion } from '../protocol/http/models.ts'
import { Token } from '../protocol/http/session.ts'
import { parse } from '../protocol/parse.ts'
import type { HubApi } from '../trainer/hub-client/hub-api.ts'

const baseModel = fileURLToPath(new URL('../../trainer/base/demo-street.onnx', import.meta.url))
const palette = ['#e8590c', '#1971c2', '#2f9e44', '#f08c00', '#9c36b5', '#0c8599', '#e03131', '#6741d9', '#66a80f', '#c2255c']
const deviceId = 'device-1'

/** Settings of a project that has none yet: a demo is small and quick, a real one leaves the deploy button to people. */
export async function firstSettings(
  api: HubApi,
  options: { demo: boolean; labelsPerRound?: string; autoDeploy?: boolean; selfLabel?: string },
): Promise<void> {
  const settings = await api.get('/api/settings', Settings)
  const models = await api.get('/api/models', Type.Array(ModelVersion))
  if (options.demo && options.selfLabel) await api.send('POST', '/api/demo', { selfLabel: options.selfLabel }, Demo)
  if (settings.classes.length > 0 || models.length > 0) return
  await api.send(
    'PUT',
    '/api/settings',
    {
      ...settings,
      labelsPerRound: Number(options.labelsPerRound ?? (options.demo ? 40 : settings.labelsPerRound)),
      autoDeploy: options.autoDeploy ?? false,
      ...(options.demo && {
        projectName: 'Demo street',
        heldOutShare: 0.3,
        training: { ...settings.training, minutes: 3 },
        mining: { ...settings.mining, cooldownSeconds: 3, auditShare: 0.02, maxSamplesPerHour: 1200 },
        rollout: { canaries: 1, probationSeconds: 15 },
      }),
    },
    Settings,
  )
}

/** Brings the first model in as champion when the hub has none. Returns words that name what runs. */
export async function importFirstModel(
  api: HubApi,
  options: { demo: boolean; model?: string; adapter?: string; classes?: string; folder: string },
): Promise<string> {
  const models = await api.get('/api/models', Type.Array(ModelVersion))
  const champion = models.find(({ role }) => role === 'champion')
  if (champion) return `${champion.manifest.name} v${champion.manifest.version}`
  let path = options.model
  if (!path && options.demo) path = baseModel
  if (!path) return 'none yet: frames come by motion, novelty and chance until the first one is trained'
  const { describeDeployedModel, adoptFile } = await import('../trainer/adapters/adopt-file.ts')
  const name = basename(path, extname(path))
  if (options.adapter) {
    await mkdir(join(options.folder, 'adopted'), { recursive: true })
    const out = join(options.folder, 'adopted', `${name}.onnx`)
    await adoptFile({ input: resolve(path), adapter: options.adapter, classes: options.classes, output: out })
    path = out
  }
  const { classes, input, architecture, thresholds } = await describeDeployedModel(path)
  const meta = encodeURIComponent(JSON.stringify({ name, classes, input, architecture, thresholds, champion: true }))
  await api.send('POST', `/api/models?meta=${meta}`, readFileSync(path), ModelVersion)
  const settings = await api.get('/api/settings', Settings)
  if (settings.classes.length === 0) {
    const coloured = classes.map((each, index) => ({ name: each, color: palette[index % palette.length]! }))
    await api.send('PUT', '/api/settings', { ...settings, classes: coloured }, Settings)
  }
  return name
}

export interface CameraChoice {
  readonly source: string
  /** left out: files and folders start again at their end */
  readonly loop?: boolean
  /** left out: true */
  readonly realTime?: boolean
}

/** The agent's configuration: enrolled on the first start, its broker address and cameras brought up to date on later ones. */
export async function prepareDevice(
  api: HubApi,
  options: { folder: string; mqttUrl: string; cameras: readonly CameraChoice[] },
): Promise<string> {
  const path = join(options.folder, 'agent.yaml')
  const cameras = options.cameras.map(({ source, loop, realTime = true }, index) => {
    const isFile = !/^[a-z]+:\/\//.test(source)
    return {
      id: `camera-${index + 1}`,
      source: isFile ? resolve(source) : source,
      loop: loop ?? (isFile && !source.startsWith('/dev/')),
      realTime,
    }
  })
  for (const { source } of cameras) {
    if (source.startsWith('/') && !existsSync(source))
      throw new MuninnError('INVALID_INPUT', `--camera ${source}: there is no such file, folder or device`)
  }
  let config: unknown
  if (existsSync(path)) config = parseYaml(readFileSync(path, 'utf8'))
  else {
    const enrolment = await api.send('POST', '/api/devices', { id: deviceId, name: 'This machine', site: 'here' }, Enrolment)
    config = {
      device: deviceId,
      hub: { url: enrolment.mqttUrl, password: enrolment.password },
      publicKey: enrolment.publicKey,
      dataFolder: join(options.folder, 'agent'),
      cameras,
    }
  }
  const known = parse(AgentConfig, config, path)
  writeFileSync(path, stringify({ ...known, hub: { ...known.hub, url: options.mqttUrl }, cameras }), { mode: 0o600 })
  return path
}

/** A bearer token for the trainer of this machine, made once. */
export async function trainerToken(api: HubApi, folder: string): Promise<string> {
  const path = join(folder, 'trainer-token')
  if (existsSync(path)) return readFileSync(path, 'utf8').trim()
  const { token } = await api.send('POST', '/api/tokens', { name: 'trainer of this machine', role: 'trainer' }, Token)
  if (!token) throw new MuninnError('INTERNAL', 'the hub made a token and did not show it')
  writeFileSync(path, token, { mode: 0o600 })
  return token
}
