/** The hub's Ed25519 key (RFC 8032): devices run only what it signed. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ModelManifest, SignedManifest } from '../../protocol/manifest.ts'

export class Signer {
  readonly #path: string
  #key: KeyObject | undefined

  constructor({ path }: { path: string }) {
    this.#path = path
  }

  /** Reads the key, or makes it at the first start (file mode 0600). Losing the file means enrolling every device again. */
  start(): void {
    try {
      this.#key = createPrivateKey(readFileSync(this.#path, 'utf8'))
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
      writeKey(this.#path)
      this.#key = createPrivateKey(readFileSync(this.#path, 'utf8'))
    }
  }

  /** SPKI, base64: what `agent.yaml` calls `publicKey`. */
  get publicKey(): string {
    return createPublicKey(this.#private()).export({ type: 'spki', format: 'der' }).toString('base64')
  }

  /** Signs the exact text, so that no canonical form of JSON is needed. */
  sign(manifest: ModelManifest): SignedManifest {
    const text = JSON.stringify(manifest)
    return { manifest: text, signature: sign(null, Buffer.from(text, 'utf8'), this.#private()).toString('base64') }
  }

  #private(): KeyObject {
    if (!this.#key) throw new Error('the signer is not started')
    return this.#key
  }
}

function writeKey(path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  const aside = `${path}.${process.pid}.tmp`
  const file = openSync(aside, 'w', 0o600)
  try {
    const { privateKey } = generateKeyPairSync('ed25519')
    writeSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  try {
    // link, not rename: a key that another start made in the meantime is never replaced.
    linkSync(aside, path)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  } finally {
    unlinkSync(aside)
  }
}
