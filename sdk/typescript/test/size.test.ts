import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const limit = 15 * 1024

test('the bundle for browsers needs nothing else and stays within 15 KB', async () => {
  const { outputFiles, metafile } = await build({
    entryPoints: [join(import.meta.dirname, '../src/index.ts')],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    metafile: true,
  })
  const inputs = Object.keys(metafile.inputs)
  assert.ok(inputs.length > 20)
  assert.deepEqual(
    inputs.filter((path) => !path.includes('sdk/typescript/src/')),
    [],
  )
  const size = gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).byteLength
  assert.ok(size > 5000 && size <= limit, `${size} bytes`)
})
