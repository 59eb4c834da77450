import { api } from '../api.ts'
import { formatAgo, formatBytes, formatExact } from '../format.ts'
import { useNow } from '../use-now.ts'
import { useReading } from '../use-reading.ts'
import { Panel } from './panel.tsx'

/** What a connection has buffered changes without an entry of the log. */
const interval = 2000
const columns = ['Who', 'Since', 'Mode', 'Credits', 'Buffered', 'In flight'] as const
const cell = 'px-4 py-2 text-left whitespace-nowrap'

/** The sockets that are open at this server. */
export function ConnectionsPanel({ touched, openAgent }: { touched: string; openAgent: (id: string) => void }) {
  const reading = useReading(api.connections, touched, interval)
  const now = useNow(true)
  const page = reading.value
  return (
    <Panel
      id="connections"
      title="Connections"
      note={page === undefined ? undefined : `${page.items.length}${page.next === null ? '' : '+'} open, oldest first`}
    >
      {reading.problem !== null && (
        <p role="alert" className="px-4 py-2 text-sm text-bad">
          {reading.problem}
        </p>
      )}
      <div className="scroll-quiet overflow-x-auto" tabIndex={0} role="group" aria-label="Table of connections">
        <table className="w-full text-sm tabular">
          <thead>
            <tr className="border-b border-line text-xs text-muted">
              {columns.map((name) => (
                <th key={name} scope="col" className={`${cell} font-medium`}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {page?.items.map((connection) => {
              const { agent_id: agent, since } = connection
              return (
                <tr key={connection.id} className="border-b border-line last:border-b-0">
                  <th scope="row" className={`${cell} font-medium`}>
                    {agent === null ? (
                      (connection.name ?? <span className="font-normal text-faint">not signed in yet</span>)
                    ) : (
                      <button type="button" onClick={() => openAgent(agent)} className="text-accent hover:underline">
                        {connection.name ?? agent}
                      </button>
                    )}
                  </th>
                  <td className={cell}>
                    {since === null ? (
                      '–'
                    ) : (
                      <time dateTime={since} title={formatExact(since)}>
                        {formatAgo(since, now)}
                      </time>
                    )}
                  </td>
                  <td className={cell}>{connection.mode}</td>
                  <td className={cell}>{connection.mode === 'plain' ? '–' : connection.credits}</td>
                  <td className={`${cell} ${connection.buffered_bytes > 0 ? 'text-wait' : ''}`}>
                    {formatBytes(connection.buffered_bytes)}
                  </td>
                  <td className={cell}>{connection.in_flight}</td>
                </tr>
              )
            })}
          </tbody>
        </table>
      </div>
    </Panel>
  )
}
