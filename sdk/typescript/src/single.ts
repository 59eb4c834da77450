/** Runs `work` one at a time: what is asked for while it runs is one more run after it. `work` does not reject. */
export function single(work: () => Promise<unknown>): () => void {
  let running = false
  let again = false
  return function run() {
    again = running
    if (running) return
    running = true
    void work().finally(() => {
      running = false
      if (again) run()
    })
  }
}
