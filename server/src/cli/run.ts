/** Chooses the command. Commands are loaded when asked for, so that a server starts without the demo and a worker without the server. */
export async function run(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args
  switch (command) {
    case undefined:
    case 'start':
    case 'dev':
      return (await import('./start.ts')).start()
    case 'worker':
      return (await import('./worker.ts')).worker()
    case 'demo':
      return (await import('./demo.ts')).demo(rest)
    default:
      process.stderr.write(`unknown ${command} ${rest.join(' ')}\n`)
      return 2
  }
}
