/** Idempotency keys: UUIDv7, so that the server's index of them grows at its end. */
const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Makes keys from the time and the platform's randomness; bytes are drawn 4 KiB at a time because each draw is a system call. */
export function makeKeys(now: () => number): () => string {
  const pool = new Uint8Array(4096)
  let used = pool.length
  return () => {
    if (used + 10 > pool.length) {
      globalThis.crypto.getRandomValues(pool)
      used = 0
    }
    const at = used
    used += 10
    const time = now().toString(16).padStart(12, '0')
    const byte = (index: number) => pool[at + index] ?? 0
    const text = (index: number) => hex[byte(index)] ?? '00'
    const version = hex[0x70 | (byte(0) & 0x0f)] ?? '70'
    const variant = hex[0x80 | (byte(2) & 0x3f)] ?? '80'
    return `${time.slice(0, 8)}-${time.slice(8)}-${version}${text(1)}-${variant}${text(3)}-${text(4)}${text(5)}${text(6)}${text(7)}${text(8)}${text(9)}`
  }
}
