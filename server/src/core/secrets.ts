/** The server's own secret: keyed hashes of credentials, signed cookies, sealed answers. It never leaves this file's closures. */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'

/** Hides its value in strings, JSON and inspection; only `reveal()` shows it. */
export class Secret {
  readonly #value: string
  constructor(value: string) {
    this.#value = value
  }
  reveal(): string {
    return this.#value
  }
  toString(): string {
    return '[secret]'
  }
  toJSON(): string {
    return '[secret]'
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]'
  }
}

export interface Keyring {
  /** Keyed hash, in hex. */
  hash(text: string): string
  matches(text: string, hash: string): boolean
  sign(payload: string): string
  verify(signed: string): string | undefined
  seal(text: string): string
  open(sealed: string): string
}

export const newServerSecret = (): string => randomBytes(32).toString('hex')
export const randomToken = (bytes = 24): string => randomBytes(bytes).toString('base64url')

export function makeKeyring(secret: Secret): Keyring {
  const derive = (purpose: string) => Buffer.from(hkdfSync('sha256', secret.reveal(), '', purpose, 32))
  const hashKey = derive('cadre credential hash')
  const signKey = derive('cadre cookie signature')
  const sealKey = derive('cadre sealed answer')
  const mac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest()
  return {
    hash: (text) => mac(hashKey, text).toString('hex'),
    matches: (text, hash) => {
      const expected = Buffer.from(hash, 'hex')
      const actual = mac(hashKey, text)
      return expected.length === actual.length && timingSafeEqual(expected, actual)
    },
    sign: (payload) => `${Buffer.from(payload).toString('base64url')}.${mac(signKey, payload).toString('base64url')}`,
    verify(signed) {
      const [payload, signature] = signed.split('.')
      if (payload === undefined || signature === undefined) return undefined
      const text = Buffer.from(payload, 'base64url').toString()
      const expected = mac(signKey, text)
      const actual = Buffer.from(signature, 'base64url')
      return actual.length === expected.length && timingSafeEqual(actual, expected) ? text : undefined
    },
    seal(text) {
      const nonce = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', sealKey, nonce)
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64')
    },
    open(sealed) {
      const bytes = Buffer.from(sealed, 'base64')
      const decipher = createDecipheriv('aes-256-gcm', sealKey, bytes.subarray(0, 12))
      decipher.setAuthTag(bytes.subarray(12, 28))
      return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8')
    },
  }
}
