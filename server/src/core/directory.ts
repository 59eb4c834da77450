/** Principals by interned id, public id or name. They are few and never renamed, so all are kept in memory. */
import { CadreError } from '@cadre/contract'
import type { Database, Tx } from '../drivers/database/port.ts'
import { sql } from '../drivers/database/sql.ts'
import type { Clock } from './clock.ts'
import type { Principal } from './context.ts'

interface PrincipalRow {
  id: number
  tenant: number
  public_id: string
  kind: Principal['kind']
  name: string
}

export class Directory {
  readonly #byId = new Map<number, Principal>()
  readonly #byPublicId = new Map<string, Principal>()
  readonly #byName = new Map<string, Principal>()
  readonly #database: Database
  readonly #clock: Clock
  #next = 1

  private constructor(database: Database, clock: Clock) {
    this.#database = database
    this.#clock = clock
  }

  static async open(database: Database, clock: Clock): Promise<Directory> {
    const directory = new Directory(database, clock)
    for (const row of await database.all<PrincipalRow>(sql`select id, tenant, public_id, kind, name from principals`))
      directory.#keep(toPrincipal(row))
    return directory
  }

  byId(id: number): Principal {
    const principal = this.#byId.get(id)
    if (!principal) throw new Error(`No principal ${id}`)
    return principal
  }

  nameOf(id: number | null): string | null {
    return id === null ? null : (this.#byId.get(id)?.name ?? null)
  }

  publicIdOf(id: number | null): string | null {
    return id === null ? null : (this.#byId.get(id)?.publicId ?? null)
  }

  /** Id or name, whichever it is. */
  find(tenant: number, reference: string): Principal | undefined {
    const principal = this.#byPublicId.get(reference) ?? this.#byName.get(`${tenant}/${reference}`)
    return principal?.tenant === tenant ? principal : undefined
  }

  agent(tenant: number, reference: string): Principal {
    const principal = this.find(tenant, reference)
    if (!principal || (principal.kind !== 'agent' && principal.kind !== 'person'))
      throw new CadreError('not_found', { entity: 'agent', id: reference })
    return principal
  }

  /** Inserts in the caller's transaction; known to others once it commits. */
  async create(tx: Tx, tenant: number, kind: Principal['kind'], name: string, publicId: string): Promise<Principal> {
    const highest = await tx.get<{ id: number | null }>(sql`select max(id) as id from principals`)
    this.#next = Math.max(this.#next, (highest?.id ?? 0) + 1)
    const principal: Principal = { id: this.#next, tenant, kind, name, publicId }
    await tx.run(sql`insert into principals (id, tenant, public_id, kind, name, created_at)
      values (${principal.id}, ${tenant}, ${publicId}, ${kind}, ${name}, ${this.#clock.now()})`)
    tx.afterCommit(() => this.#keep(principal))
    return principal
  }

  /** The principal of that name, made on the first start. */
  async ensure(tenant: number, kind: Principal['kind'], name: string, publicId: string): Promise<Principal> {
    const known = this.find(tenant, name)
    if (known) return known
    return this.#database.transaction((tx) => this.create(tx, tenant, kind, name, publicId))
  }

  #keep(principal: Principal): void {
    this.#byId.set(principal.id, principal)
    this.#byPublicId.set(principal.publicId, principal)
    this.#byName.set(`${principal.tenant}/${principal.name}`, principal)
  }
}

function toPrincipal(row: PrincipalRow): Principal {
  return { id: row.id, tenant: row.tenant, publicId: row.public_id, kind: row.kind, name: row.name }
}
