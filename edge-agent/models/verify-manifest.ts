/** Believes a manifest only when the hub's key signed its text. */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'
import { MuninnError } from '../../protocol/errors.ts'
import { ModelManifest, type SignedManifest } from '../../protocol/manifest.ts'
import { parseJson } from '../../protocol/parse.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'

/**
 * @param base64 Ed25519 public key, SPKI in DER (RFC 8410)
 * @throws MuninnError INVALID_INPUT when it is no such key
 */
export function importPublicKey(base64: string): KeyObject {
  try {
    const key = createPublicKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'spki' })
    if (key.asymmetricKeyType !== 'ed25519') throw new Error(`it is ${key.asymmetricKeyType}`)
    return key
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause)
    throw new MuninnError('INVALID_INPUT', `publicKey: not an Ed25519 key in SPKI, base64 (${words})`, { cause })
  }
}

/**
 * @throws MuninnError BAD_SIGNATURE, or INVALID_INPUT when the signed text is no manifest
 */
export function verifyManifest({ manifest, signature }: SignedManifest, key: KeyObject): ModelManifest {
  // The signature is checked on the text itself, before anything is read out of it.
  if (!verify(null, Buffer.from(manifest, 'utf8'), key, Buffer.from(signature, 'base64')))
    throw new MuninnError('BAD_SIGNATURE', inEnglish(say('update.not-signed')))
  const parsed = parseJson(ModelManifest, manifest, 'manifest')
  if (new Set(parsed.classes).size !== parsed.classes.length)
    throw new MuninnError('INVALID_INPUT', inEnglish(say('update.class-twice')))
  return parsed
}

/** What a manifest calls its model, believed or not, to name it in a report; the digest of the text when it is no manifest. */
export function claimedModel({ manifest }: SignedManifest): string {
  try {
    return parseJson(ModelManifest, manifest, 'manifest').file.sha256
  } catch {
    return createHash('sha256').update(manifest).digest('hex')
  }
}
