/** Who is calling: bearer keys, browser cookies, or the local operator on loopback. Roles say what each may do. */
import { CadreError, type Permission, type Role, roleGrants } from '@cadre/contract'
import type { Database, Tx } from '../drivers/database/port.ts'
import { sql } from '../drivers/database/sql.ts'
import type { Clock } from './clock.ts'
import type { Caller, Principal } from './context.ts'
import type { Directory } from './directory.ts'
import { type Keyring, randomToken } from './secrets.ts'

/** What a surface knows of a request before anything is parsed. */
export interface Credentials {
  authorization: string | undefined
  cookie: string | undefined
  host: string | undefined
  origin: string | undefined
  fetchSite: string | undefined
  forwarded: boolean
  /** The connection itself came over loopback. */
  loopback: boolean
}

interface CredentialRow {
  id: string
  tenant: number
  principal: number
  role: Role
  hash: string
}

export interface AccessSettings {
  mode: 'local' | 'required'
  /** Host names without port that requests may name; empty in required mode means any. */
  allowedHosts: readonly string[]
  tenant: number
}

const cookieName = 'cadre_session'
const cookieSeconds = 30 * 24 * 3600
const maxCredentialsPerAgent = 10
const maxLinks = 100
const useEveryMs = 60_000

export class Access {
  readonly #database: Database
  readonly #directory: Directory
  readonly #keyring: Keyring
  readonly #clock: Clock
  readonly #settings: AccessSettings
  readonly #known = new Map<string, CredentialRow>()
  readonly #links = new Map<string, number>()
  readonly #used = new Map<string, number>()
  readonly #revoked = new Set<(id: string) => void>()

  constructor(database: Database, directory: Directory, keyring: Keyring, clock: Clock, settings: AccessSettings) {
    this.#database = database
    this.#directory = directory
    this.#keyring = keyring
    this.#clock = clock
    this.#settings = settings
  }

  get mode(): 'local' | 'required' {
    return this.#settings.mode
  }

  /** Answers the caller or throws 401/403. Deny by default. */
  async authenticate(from: Credentials): Promise<Caller> {
    this.#checkHost(from)
    const browser = from.origin !== undefined || from.fetchSite !== undefined
    if (from.authorization !== undefined) return this.#bearer(from.authorization)
    const cookie = readCookie(from.cookie)
    if (cookie !== undefined) {
      this.#checkOrigin(from)
      const caller = this.#fromCookie(cookie)
      if (caller) return caller
    }
    if (this.#settings.mode === 'required') {
      throw new CadreError('unauthenticated', { reason: 'Send an API key as Authorization: Bearer, or sign in.' })
    }
    if (!from.loopback)
      throw new CadreError('unauthenticated', { reason: 'Only this machine may call without a key; send an API key.' })
    if (from.forwarded)
      throw new CadreError('unauthenticated', { reason: 'Calls through a proxy need an API key as Authorization: Bearer.' })
    if (browser) {
      throw new CadreError('unauthenticated', {
        reason: 'Browsers sign in by the one-time link the server prints at start; `npx cadre link` makes another.',
      })
    }
    return this.operator()
  }

  /** A token given in `agent:register` stands for the connection's credential. */
  async fromToken(token: string): Promise<Caller> {
    const parsed = /^cad_([0-9a-z]+)_([\w-]+)$/.exec(token)
    const row = parsed ? await this.#credential(parsed[1] as string) : undefined
    if (!row || !this.#keyring.matches(token, row.hash))
      throw new CadreError('unauthenticated', { reason: 'The key is unknown or was revoked.' })
    if (row.role !== 'agent') this.#noteUse(row.id)
    return { ...this.#directory.byId(row.principal), role: row.role, credential: row.id }
  }

  operator(): Caller {
    return { ...this.#directory.agent(this.#settings.tenant, 'operator'), role: 'admin' }
  }

  /** Who asks a public question without a credential. */
  anonymous(): Caller {
    return { ...this.operator(), name: 'anonymous', role: 'viewer' }
  }

  authorise(caller: Caller, permission: Permission): void {
    if (permission === 'public' || roleGrants[caller.role].includes(permission)) return
    throw new CadreError('forbidden', { reason: `The role ${caller.role} lacks ${permission}.`, permission })
  }

  /** Issues a key; the text is answered once and only its keyed hash is stored. */
  async issue(tx: Tx, principal: Principal, role: Role, name: string): Promise<{ id: string; token: string }> {
    const id = randomToken(9)
      .toLowerCase()
      .replaceAll(/[^0-9a-z]/g, '0')
    const token = `cad_${id}_${randomToken(32)}`
    const now = this.#clock.now()
    await tx.run(sql`insert into credentials (id, tenant, principal, role, name, hash, created_at)
      values (${id}, ${principal.tenant}, ${principal.id}, ${role}, ${name}, ${this.#keyring.hash(token)}, ${now})`)
    if (role === 'agent') {
      const old = await tx.all<{
        id: string
      }>(sql`select id from credentials where tenant = ${principal.tenant} and principal = ${principal.id}
        order by created_at desc, id desc limit 1000 offset ${maxCredentialsPerAgent}`)
      for (const { id: oldest } of old) await this.#remove(tx, oldest)
    }
    return { id, token }
  }

  /** Takes every key of a principal back, in the caller's transaction. */
  async revokeAll(tx: Tx, principal: Principal): Promise<void> {
    const keys = await tx.all<{ id: string }>(
      sql`select id from credentials where tenant = ${principal.tenant} and principal = ${principal.id}`,
    )
    for (const { id } of keys) await this.#remove(tx, id)
  }

  /** Called with the id of a key that no longer holds; connections that came with it end. */
  onRevoked(listener: (id: string) => void): void {
    this.#revoked.add(listener)
  }

  /** Forgets a revoked key at once. */
  forget(id: string): void {
    this.#known.delete(id)
    this.#used.delete(id)
    for (const listener of this.#revoked) listener(id)
  }

  async #remove(tx: Tx, id: string): Promise<void> {
    await tx.run(sql`delete from credentials where id = ${id}`)
    tx.afterCommit(() => this.forget(id))
  }

  /** A code that signs one browser in, once, within ten minutes. */
  createLink(): string {
    const now = this.#clock.now()
    for (const [code, expires] of this.#links) if (expires < now || this.#links.size >= maxLinks) this.#links.delete(code)
    const code = randomToken(24)
    this.#links.set(code, now + 600_000)
    return code
  }

  /** Spends the code and answers the cookie to set. */
  redeem(code: string): string | undefined {
    const expires = this.#links.get(code)
    this.#links.delete(code)
    if (expires === undefined || expires < this.#clock.now()) return undefined
    const until = this.#clock.now() + cookieSeconds * 1000
    const value = this.#keyring.sign(JSON.stringify({ principal: this.operator().id, role: 'admin', until }))
    return `${cookieName}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${cookieSeconds}`
  }

  signOutCookie(): string {
    return `${cookieName}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0`
  }

  /** For the list of keys; once a minute is exact enough, and a failure to note it refuses nobody. */
  #noteUse(id: string): void {
    const now = this.#clock.now()
    if (now - (this.#used.get(id) ?? Number.NEGATIVE_INFINITY) < useEveryMs) return
    this.#used.set(id, now)
    this.#database
      .transaction((tx) => tx.run(sql`update credentials set last_used_at = ${now} where id = ${id}`))
      .catch(() => this.#used.delete(id))
  }

  #fromCookie(value: string): Caller | undefined {
    const text = this.#keyring.verify(value)
    if (text === undefined) return undefined
    const session = JSON.parse(text) as { principal: number; role: Role; until: number }
    return session.until > this.#clock.now() ? { ...this.#directory.byId(session.principal), role: session.role } : undefined
  }

  async #bearer(authorization: string): Promise<Caller> {
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
    if (token === undefined) throw new CadreError('unauthenticated', { reason: 'Send the key as Authorization: Bearer <key>.' })
    return this.fromToken(token)
  }

  async #credential(id: string): Promise<CredentialRow | undefined> {
    const known = this.#known.get(id)
    if (known) return known
    const row = await this.#database.get<CredentialRow>(
      sql`select id, tenant, principal, role, hash from credentials where id = ${id}`,
    )
    if (row) {
      if (this.#known.size >= 10_000) this.#known.clear()
      this.#known.set(id, row)
    }
    return row
  }

  // A page of another site can name our address by its own host (DNS rebinding): the Host header must be one of ours.
  #checkHost(from: Credentials): void {
    const allowed = this.#settings.allowedHosts
    if (allowed.length === 0) return
    if (from.host === undefined || !allowed.includes(hostName(from.host))) {
      throw new CadreError('forbidden', {
        reason: `The host ${from.host ?? '(none)'} is not one of ours; add it to CADRE_ALLOWED_HOSTS.`,
      })
    }
  }

  // Cookies travel by themselves, so whoever uses one must come from our own pages.
  #checkOrigin(from: Credentials): void {
    const crossSite = from.fetchSite !== undefined && from.fetchSite !== 'same-origin' && from.fetchSite !== 'none'
    const foreign = from.origin !== undefined && (!URL.canParse(from.origin) || new URL(from.origin).host !== from.host)
    if (crossSite || foreign)
      throw new CadreError('forbidden', { reason: `Pages of ${from.origin ?? 'another site'} may not act here.` })
  }
}

const hostName = (host: string): string => host.replace(/:\d+$/, '').toLowerCase()

function readCookie(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  for (const part of header.split(';')) {
    const [name, value] = part.trim().split('=', 2)
    if (name === cookieName && value !== undefined && value !== '') return value
  }
  return undefined
}
