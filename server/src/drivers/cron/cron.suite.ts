/** What every driver of the cron port has to do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CadreError } from '@cadre/contract'
import type { ReadCron } from './port.ts'

const at = (text: string) => Date.parse(text)

export function cronSuite(name: string, read: ReadCron): void {
  const times = (cron: string, zone: string, after: string, count: number) => {
    const pattern = read(cron, zone)
    const found: string[] = []
    for (let time = pattern.next(at(after)); time !== null && found.length < count; time = pattern.next(time))
      found.push(new Date(time).toISOString())
    return found
  }

  test(`${name}: five or six fields, in an IANA zone, through the change of clocks`, () => {
    assert.deepEqual(times('0 9 * * *', 'UTC', '2026-03-28T12:00:00Z', 2), [
      '2026-03-29T09:00:00.000Z',
      '2026-03-30T09:00:00.000Z',
    ])
    assert.deepEqual(times('0 9 * * *', 'Europe/Berlin', '2026-03-27T12:00:00Z', 3), [
      '2026-03-28T08:00:00.000Z',
      '2026-03-29T07:00:00.000Z',
      '2026-03-30T07:00:00.000Z',
    ])
    // 02:30 does not exist on the 29th of March, and comes twice on the 25th of October.
    assert.deepEqual(times('30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 2), [
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ])
    assert.deepEqual(times('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 2), [
      '2026-10-25T00:30:00.000Z',
      '2026-10-26T01:30:00.000Z',
    ])
    assert.deepEqual(times('*/20 * * * * *', 'UTC', '2026-01-01T00:00:00Z', 2), [
      '2026-01-01T00:00:20.000Z',
      '2026-01-01T00:00:40.000Z',
    ])
    assert.deepEqual(times('0 0 30 2 *', 'UTC', '2026-01-01T00:00:00Z', 2), [], 'there is no such day')
  })

  test(`${name}: the newest times up to one`, () => {
    const last = (count: number, until: string) =>
      read('*/10 * * * *', 'UTC')
        .last(count, at(until))
        .map((time) => new Date(time).toISOString().slice(11, 19))
    assert.deepEqual(last(3, '2026-01-01T01:00:00Z'), ['00:40:00', '00:50:00', '01:00:00'])
    assert.deepEqual(last(2, '2026-01-01T00:59:59.999Z'), ['00:40:00', '00:50:00'])
  })

  test(`${name}: what names no times is refused, with the field`, () => {
    const cases: [cron: string, zone: string, pointer: string][] = [
      ['* * * *', 'UTC', '/cron'],
      ['* * * * * * *', 'UTC', '/cron'],
      ['61 * * * *', 'UTC', '/cron'],
      ['@daily', 'UTC', '/cron'],
      ['2026-01-01T00:00:00', 'UTC', '/cron'],
      ['* * * * *', 'Nowhere/City', '/zone'],
    ]
    for (const [cron, zone, pointer] of cases) {
      assert.throws(
        () => read(cron, zone),
        (error) => error instanceof CadreError && error.code === 'invalid_request' && error.fields?.[0]?.pointer === pointer,
        `${cron} ${zone}`,
      )
    }
  })
}
