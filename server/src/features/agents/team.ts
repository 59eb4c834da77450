/** The agents as routing sees them: who may be sent something, what each is, and who is there. */
import type { Directory } from '../../core/directory.ts'
import type { Known, Registry } from './registry.ts'

interface Member {
  id: number
  name: string
  type: string
  capabilities: ReadonlySet<string>
  idle: boolean
  online: boolean
  load: number
}

const isEnding = ({ status }: Known): boolean => status === 'stopping' || status === 'terminated'

export function makeTeam(registry: Registry, directory: Directory) {
  return {
    everyone: (tenant: number): number[] =>
      registry
        .list(tenant)
        .filter((agent) => agent.status !== 'terminated')
        .map((agent) => agent.id),

    candidates: (tenant: number): Member[] =>
      registry
        .list(tenant)
        .filter((agent) => !isEnding(agent))
        .reverse()
        .map((agent) => ({
          id: agent.id,
          name: directory.byId(agent.id).name,
          type: agent.type_key,
          capabilities: agent.capabilityKeys,
          idle: agent.status === 'idle' && agent.load === 0,
          online: registry.presence(agent) === 'online',
          load: agent.load,
        })),

    standing(id: number): 'online' | 'away' | 'gone' {
      const agent = registry.get(id)
      if (!agent) return 'away'
      return isEnding(agent) ? 'gone' : registry.presence(agent) === 'online' ? 'online' : 'away'
    },
  }
}
