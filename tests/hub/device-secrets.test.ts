import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import mqtt from 'mqtt'
import { checkSecret, hashSecret, newSecret } from '../../hub/auth/device-secrets.ts'
import { hashPassword } from '../../hub/auth/passwords.ts'
import { Enrolment } from '../../protocol/http/fleet.ts'
import { DevicePlayer } from '../support/device-player.ts'
import { startTestHub, type TestHub } from '../support/hub.ts'

const stored = async ({ hub }: TestHub) => {
  const rows: { password_hash: string }[] = await hub.knex('devices').select('password_hash')
  return rows.map(({ password_hash }) => password_hash)
}

describe('device secrets', () => {
  it('are 256 bits, kept as a hash that only they fit', () => {
    const secret = newSecret()
    assert.equal(Buffer.from(secret, 'base64url').length, 32)
    const hash = hashSecret(secret)
    assert.ok(checkSecret(secret, hash) && !checkSecret(`${secret}x`, hash) && !checkSecret(newSecret(), hash))
    for (const none of ['', 'sha256$', 'sha256$AAAA', secret]) assert.equal(checkSecret(secret, none), false)
  })

  it('of an earlier hub sign in as before, are kept the quick way from then on, and a wrong one changes nothing', async (t) => {
    const test = await startTestHub(t)
    const enrolment = await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' })
    const old = await hashPassword(enrolment.password)
    await test.hub.knex('devices').update({ password_hash: old })
    await assert.rejects(DevicePlayer.connect({ ...enrolment, password: 'guess' }), /refused/)
    assert.deepEqual(await stored(test), [old])
    await (await DevicePlayer.connect(enrolment)).stop()
    assert.deepEqual(await stored(test), [hashSecret(enrolment.password)])
    await (await DevicePlayer.connect(enrolment)).stop()
    await assert.rejects(DevicePlayer.connect({ ...enrolment, password: 'guess' }), /refused/)
  })

  it('let a fleet in at once when the broker comes back', { timeout: 120_000 }, async (t) => {
    const test = await startTestHub(t)
    const count = 60
    const secrets = Array.from({ length: count }, newSecret)
    const id = (i: number) => `gate-${i}`
    const row = async (i: number) => {
      return { id: id(i), name: '', site: '', created_at: 1, password_hash: await hashPassword(secrets[i]!) }
    }
    await test.hub.knex('devices').insert(await Promise.all(secrets.map((_, i) => row(i))))
    const everyoneSignsIn = async () => {
      const began = performance.now()
      const clients = await Promise.all(
        secrets.map((password, i) => {
          const options = { clientId: id(i), username: id(i), password, reconnectPeriod: 0 }
          return mqtt.connectAsync(test.hub.broker.url, options, false)
        }),
      )
      const rate = (count * 1000) / (performance.now() - began)
      await Promise.all(clients.map((client) => client.endAsync(true)))
      return rate
    }
    const slow = await everyoneSignsIn()
    assert.deepEqual((await stored(test)).sort(), secrets.map(hashSecret).sort())
    const quick = await everyoneSignsIn()
    t.diagnostic(`sign-ins a second: ${slow.toFixed(0)} with scrypt, ${quick.toFixed(0)} with SHA-256`)
    assert.ok(quick > slow)
  })
})
