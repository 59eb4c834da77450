/** The demo cannot give an answer; its message is one sentence. */
export class DemoFailure extends Error {
  override name = 'DemoFailure'
}
