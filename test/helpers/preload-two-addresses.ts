// Preloaded into a daemon (see two-addresses.ts).
import { installTwoAddresses } from './two-addresses.ts';

installTwoAddresses();
