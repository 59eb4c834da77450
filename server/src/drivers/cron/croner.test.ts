import { cronSuite } from './cron.suite.ts'
import { readCron } from './croner.ts'

cronSuite('croner', readCron)
