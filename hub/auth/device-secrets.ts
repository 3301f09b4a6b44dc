/**
 * Secrets of devices: 256 random bits that the hub makes, so one SHA-256 keeps them (`sha256$hash`, base64url): there is no guessing that a
 * slow hash would have to slow down (NIST SP 800-63B, 5.1.2.2: look-up secrets), and thousands of devices sign in at once when a broker comes back.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { DeviceRepository } from '../fleet/device-repository.ts'
import { checkPassword } from './passwords.ts'

export const newSecret = () => randomBytes(32).toString('base64url')

const digest = (secret: string) => createHash('sha256').update(secret).digest()
export const hashSecret = (secret: string) => `sha256$${digest(secret).toString('base64url')}`

/** False also for a text that is no hash. */
export function checkSecret(secret: string, stored: string): boolean {
  const [kind, hash] = stored.split('$')
  if (kind !== 'sha256' || !hash) return false
  const wanted = Buffer.from(hash, 'base64url')
  const got = digest(secret)
  return wanted.length === got.length && timingSafeEqual(wanted, got)
}

export class DeviceSecrets {
  readonly #devices: DeviceRepository

  constructor({ devices }: { devices: DeviceRepository }) {
    this.#devices = devices
  }

  /** Whether this is the device's secret. One of an earlier hub is kept slowly (scrypt): checked so once, and kept as the others from then on. */
  async check(device: string, secret: string): Promise<boolean> {
    const stored = await this.#devices.passwordHash(device)
    if (stored === undefined) return false
    if (!stored.startsWith('scrypt$')) return checkSecret(secret, stored)
    if (!(await checkPassword(secret, stored))) return false
    await this.#devices.replaceHash(device, stored, hashSecret(secret))
    return true
  }
}
