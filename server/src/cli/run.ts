/** Chooses the command. Each is loaded when asked for: a server starts without the client, a worker without the server. */
export async function run(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args
  switch (command) {
    case undefined:
    case 'start':
    case 'dev':
      // It takes no options of its own; a question about it is answered with the other commands.
      if (rest.length > 0) break
      return (await import('./start.ts')).start()
    case 'worker':
      return (await import('./worker.ts')).worker()
    case 'demo':
      return (await import('./demo.ts')).demo(rest)
  }
  return (await import('./client/program.ts')).runClient(args)
}
