/** GET /api/overview: the loop at a glance. */
import { Overview } from '../../protocol/http/fleet.ts'
import type { App } from '../app.ts'
import type { HubParts } from '../hub.ts'
import type { ModelRow } from '../registry/model-repository.ts'
import { manifestOf } from '../registry/registry.ts'

export function overviewRoutes(app: App, parts: HubParts): void {
  const { access, overview, space, rounds, settings, models, devices, desk, runRows, demo, config, now } = parts

  app.get(
    '/api/overview',
    { onRequest: access.authenticate('viewer'), schema: { response: { 200: Overview } } },
    async (): Promise<Overview> => {
      const at = now()
      const [champion, challenger, run] = [await models.champion(), await models.challenger(), await runRows.current()]
      const { autoTrain, autoDeploy } = await settings.get()
      return {
        queue: { ...(await overview.tasks(at)), ...(await rounds.progress()) },
        samples: await overview.samples(at),
        devices: await devices.presence(),
        disk: await space.look(),
        trainers: desk.trainers,
        champion: champion ? brief(champion) : null,
        challenger: challenger ? brief(challenger) : null,
        run: run?.id ?? null,
        rounds: await rounds.list(50),
        demo: config.demo ? await demo.get() : null,
        settings: { autoTrain, autoDeploy },
      }
    },
  )
}

function brief(row: ModelRow) {
  const { name, version, metrics } = manifestOf(row)
  return { sha256: row.sha256, name, version, mAP50: metrics.mAP50 ?? null }
}
