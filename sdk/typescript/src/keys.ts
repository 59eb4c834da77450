/** Idempotency keys: UUIDv7, so that the server's index of them grows at its end. */

/** Makes keys from the time and the platform's randomness; bytes are drawn 4 KiB at a time because each draw is a system call. */
export function makeKeys(now: () => number): () => string {
  let pool = ''
  let used = 0
  const digits = (count: number) => pool.slice(used, (used += count))
  return () => {
    if (used + 19 > pool.length) {
      const bytes = globalThis.crypto.getRandomValues(new Uint8Array(4096))
      pool = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
      used = 0
    }
    const time = now().toString(16).padStart(12, '0')
    const variant = '89ab'[Number.parseInt(digits(1), 16) & 3]
    return `${time.slice(0, 8)}-${time.slice(8)}-7${digits(3)}-${variant}${digits(3)}-${digits(12)}`
  }
}
