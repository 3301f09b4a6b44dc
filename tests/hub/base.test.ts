import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { reachableBroker } from '../../hub/fleet/agent-yaml.ts'
import { DevicePage, Enrolment, Overview, Settings } from '../../protocol/http/fleet.ts'
import { startTestHub } from '../support/hub.ts'

describe('hub', () => {
  it('answers on a fresh folder', async (t) => {
    const { ask, request } = await startTestHub(t)
    const settings = await ask(Settings, 'GET', '/api/settings')
    assert.equal(settings.projectName, 'Muninn')
    const overview = await ask(Overview, 'GET', '/api/overview')
    assert.equal(overview.champion, null)
    assert.equal((await request('GET', '/api/nothing')).status, 404)
  })

  it('refuses settings with unknown keys, naming them', async (t) => {
    const { ask, request } = await startTestHub(t)
    const settings = await ask(Settings, 'GET', '/api/settings')
    const answer = await request('PUT', '/api/settings', { ...settings, colour: 'blue' })
    assert.equal(answer.status, 400)
    assert.match(JSON.stringify(answer.body), /INVALID_INPUT.*colour/)
  })

  it('enrols a device once and keeps it over a restart', async (t) => {
    const first = await startTestHub(t)
    const enrolment = await first.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1', site: 'North' })
    assert.match(enrolment.config, /device: "gate-1"/)
    assert.equal((await first.request('POST', '/api/devices', { id: 'gate-1' })).status, 409)
    const again = await first.restart()
    const {
      devices: [device],
    } = await again.ask(DevicePage, 'GET', '/api/devices')
    assert.equal(device?.site, 'North')
    assert.equal(again.hub.signer.publicKey, enrolment.publicKey)
  })

  it('names the broker in a device file as whoever asked can reach it', () => {
    const here = 'mqtt://127.0.0.1:1883'
    assert.equal(reachableBroker(here, 'localhost'), here)
    assert.equal(reachableBroker(here, 'hub.city'), 'mqtt://hub.city:1883')
    assert.equal(reachableBroker('mqtt://0.0.0.0:1883', '10.0.0.5'), 'mqtt://10.0.0.5:1883')
    assert.equal(reachableBroker('mqtts://broker.city:8883', 'hub.city'), 'mqtts://broker.city:8883')
  })

  it('gives that name in the device file itself', async (t) => {
    const { ask } = await startTestHub(t)
    const { config } = await ask(Enrolment, 'POST', '/api/devices', { id: 'gate-2' }, { host: 'hub.city' })
    assert.match(config, /mqtt:\/\/hub\.city:\d+/)
  })
})
