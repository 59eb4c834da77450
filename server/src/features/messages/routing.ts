/** Where a message goes: to whom it names, to whoever is what it asks for, to subscribers, by a rule, or to all; and why. */
import { CadreError, type MessageRoute, type Strategy } from '@cadre/contract'
import type { Context, Principal } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Facts } from './predicate.ts'
import { toldApart } from './routes.ts'
import type { Rules } from './rules.ts'
import { type Candidate, type Chooser, type Wanted, fits } from './strategies.ts'
import type { Subscriptions } from './topics.ts'

/** Who is in the team, as routing needs to know it. */
export interface Team {
  /** Interned ids of the agents a broadcast reaches. */
  everyone: (tenant: number) => number[]
  /** Agents that are registered and not about to end. */
  candidates: (tenant: number) => Candidate[]
  /** `gone`: it ended or is about to. Whoever is no agent is away. */
  standing: (id: number) => 'online' | 'away' | 'gone'
}

export interface Destination {
  recipients: number[]
  topic?: string
  /** Why nobody, or not everybody that was asked for, gets it. */
  unroutable?: string
  /** Absent where the row tells it by itself. */
  route?: MessageRoute
  /** What the message gets for a kind when its sender chose none. */
  kind: 'event' | 'broadcast'
}

export interface Routing {
  named(context: Context, references: readonly string[], kind?: string): Destination
  /** One of the named, or all of them, by a strategy. */
  among(context: Context, references: readonly string[], strategy: Strategy): Destination
  /** Whoever is what the message asks for, but its sender. */
  whoIs(context: Context, wanted: Wanted, strategy: Strategy | undefined): Destination
  topic(context: Context, topic: string): Destination
  everyone(context: Context, kind?: string): Destination
  /** Where the first rule that matches sends it; undefined when none does. */
  byRule(context: Context, facts: () => Facts): Destination | undefined
  /** The same, and the operator too. */
  escalated(context: Context, to: Destination | undefined): Destination
}

const maxNamed = 10

export interface RoutingParts {
  directory: Directory
  subscriptions: Subscriptions
  rules: Rules
  chooser: Chooser
  team: Team
}

export function makeRouting(parts: RoutingParts): Routing {
  const { directory, subscriptions, rules, chooser, team } = parts

  const nameOf = (id: number): string => directory.nameOf(id) ?? 'unknown'

  function resolve(context: Context, references: readonly string[]): { recipients: number[]; unroutable?: string } {
    const recipients = new Set<number>()
    const unknown: string[] = []
    for (const reference of references) {
      const principal = directory.find(context.tenant, reference)
      if (principal && isAddressable(principal)) recipients.add(principal.id)
      else unknown.push(reference)
    }
    return {
      recipients: [...recipients],
      ...(unknown.length > 0 && { unroutable: `no agent is called ${unknown.slice(0, maxNamed).join(', ')}` }),
    }
  }

  function named(context: Context, references: readonly string[], kind?: string): Destination {
    const [reference] = references
    // What most messages are: to one that is known, of no kind of its own.
    if (references.length === 1 && reference !== undefined && kind === undefined) {
      const principal = directory.find(context.tenant, reference)
      if (principal && isAddressable(principal)) return { recipients: [principal.id], kind: 'event' }
    }
    const found = resolve(context, references)
    const route = kind === undefined ? undefined : toldApart(found.recipients.length === 1 ? 'direct' : 'list', kind)
    return { ...found, kind: 'event', ...(route && { route }) }
  }

  function among(context: Context, references: readonly string[], strategy: Strategy): Destination {
    const { recipients, ...rest } = resolve(context, references)
    const able = team.candidates(context.tenant).filter(({ id }) => recipients.includes(id))
    const { chosen, how } = chooser.choose(strategy, able)
    const nobody = chosen.length === 0 && rest.unroutable === undefined && { unroutable: 'all that were named have ended' }
    return {
      ...rest,
      ...nobody,
      recipients: chosen.map(({ id }) => id),
      kind: 'event',
      route: { by: 'list', strategy, reason: chosen.length === 0 ? 'nobody that was named is there' : `${how} named` },
    }
  }

  function whoIs(context: Context, wanted: Wanted, strategy: Strategy = 'round_robin'): Destination {
    const able = team.candidates(context.tenant).filter((each) => each.id !== context.caller.id && fits(each, wanted))
    const { chosen, how } = chooser.choose(strategy, able)
    const what = described(wanted)
    const unroutable = chosen.length === 0 ? `no other agent ${what} is registered` : undefined
    return {
      recipients: chosen.map(({ id }) => id),
      kind: 'event',
      ...(unroutable !== undefined && { unroutable }),
      route: {
        by: wanted.agent_type === undefined ? 'capability' : 'type',
        strategy,
        ...(wanted.agent_type !== undefined && { agent_type: wanted.agent_type }),
        ...(wanted.capabilities !== undefined && { capabilities: [...wanted.capabilities] }),
        reason: unroutable ?? `${how} ${what}`,
      },
    }
  }

  function topic(context: Context, name: string): Destination {
    const { plain, groups } = subscriptions.matching(context.tenant, name, context.caller.id)
    const taken: string[] = []
    for (const [group, members] of groups) {
      const member = subscriptions.next(context.tenant, group, present(members))
      if (member === undefined) continue
      plain.add(member)
      taken.push(`${nameOf(member)} for ${group}`)
    }
    const recipients = [...plain]
    const route: MessageRoute = {
      by: 'group',
      groups: [...groups.keys()].slice(0, maxNamed),
      reason: `subscribed to ${name}: ${taken.slice(0, maxNamed).join(', ')}`,
    }
    return {
      recipients,
      topic: name,
      kind: 'event',
      ...(recipients.length === 0 && { unroutable: 'nobody subscribes' }),
      ...(taken.length > 0 && { route }),
    }
  }

  /** Connected ones when there are some, else those that may come back, else whoever is left. */
  function present(members: readonly number[]): readonly number[] {
    const standings = new Map(members.map((member) => [member, team.standing(member)]))
    const at = (standing: string) => members.filter((member) => standings.get(member) === standing)
    const online = at('online')
    if (online.length > 0) return online
    const away = at('away')
    return away.length > 0 ? away : members
  }

  function everyone(context: Context, kind?: string): Destination {
    const recipients = team.everyone(context.tenant).filter((agent) => agent !== context.caller.id)
    const route = kind === undefined ? undefined : toldApart('broadcast', kind)
    return {
      recipients,
      kind: 'broadcast',
      ...(recipients.length === 0 && { unroutable: 'no other agent is registered' }),
      ...(route && { route }),
    }
  }

  function byRule(context: Context, facts: () => Facts): Destination | undefined {
    if (rules.of(context.tenant).length === 0) return undefined
    const rule = rules.match(context.tenant, facts())
    if (!rule) return undefined
    const { agents, topic: name, agent_type, capabilities, strategy } = rule.to
    const to =
      name !== undefined
        ? topic(context, name)
        : agents !== undefined
          ? strategy === undefined
            ? named(context, agents)
            : among(context, agents, strategy)
          : whoIs(context, { agent_type, capabilities }, strategy)
    const why = to.route?.reason ?? (name === undefined ? 'named in the rule' : `subscribed to ${name}`)
    const { groups, strategy: used } = to.route ?? {}
    return {
      ...to,
      route: {
        by: 'rule',
        rule: rule.row.id,
        ...(used !== undefined && { strategy: used }),
        ...(groups !== undefined && { groups }),
        reason: `rule ${rule.row.name}: ${to.unroutable !== undefined && to.recipients.length === 0 ? to.unroutable : why}`,
      },
    }
  }

  function escalated(context: Context, to: Destination | undefined): Destination {
    const operator = directory.agent(context.tenant, 'operator')
    const others = to?.recipients.filter((id) => id !== operator.id) ?? []
    return {
      kind: 'event',
      ...to,
      recipients: [...others, operator.id],
      route: {
        ...to?.route,
        by: 'escalation',
        reason: to ? `${to.route?.reason ?? 'as addressed'}, and to the operator` : 'escalated to the operator',
      },
    }
  }

  return { named, among, whoIs, topic, everyone, byRule, escalated }
}

/** `of type analyst with sql, charts`. */
function described({ agent_type, capabilities }: Wanted): string {
  return [
    ...(agent_type === undefined ? [] : [`of type ${agent_type}`]),
    ...(capabilities === undefined ? [] : [`with ${capabilities.join(', ')}`]),
  ].join(' ')
}

const isAddressable = ({ kind }: Principal): boolean => kind === 'agent' || kind === 'person'

export function refuseField(pointer: string, detail: string): never {
  throw new CadreError('invalid_request', {}, { fields: [{ pointer, detail }] })
}
