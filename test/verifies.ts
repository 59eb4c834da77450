import { type TestContext, test } from 'node:test'
import type { RequirementId } from './requirements.ts'

type VerifiesOptions = {
  /** Why the body cannot pass yet. It still runs: throwing is shown as a todo, passing fails the build. Let it throw by itself: a failing subtest fails the build. */
  knownFailure?: string | undefined
  /** Why the body cannot run here, given only where that is so: `skip: (await redisIsThere()) ? undefined : 'no redis-server'`. */
  skip?: string | undefined
  /** The server the body wants. With the variable CI set it has to be there: a skip then fails. */
  needs?: string | undefined
  /** Milliseconds until the test is given up. */
  timeout?: number | undefined
}

/** A test that proves the named requirements. Write ids and options literally: `npm run requirements` reads them from the source. */
export function verifies(
  id: RequirementId | readonly RequirementId[],
  title: string,
  fn: (t: TestContext) => void | Promise<void>,
  options: VerifiesOptions = {},
): void {
  const { knownFailure, skip, needs, timeout } = options
  const name = `[${[id].flat().join(', ')}] ${title}`
  if (skip && !(needs && process.env['CI'])) {
    void test(name, { skip: needs ? `${needs}: ${skip}` : skip }, fn)
    return
  }
  void test(name, timeout === undefined ? {} : { timeout }, async (t) => {
    if (skip) throw new Error(`CI has to provide ${needs}, but this test would be skipped: ${skip}`)
    if (!knownFailure) return fn(t)
    try {
      await fn(t)
    } catch (error) {
      t.diagnostic(`fails as known: ${error instanceof Error ? error.message : String(error)}`)
      t.todo(knownFailure)
      return
    }
    throw new Error(`This known failure passes now, so remove its knownFailure: ${knownFailure}`)
  })
}
