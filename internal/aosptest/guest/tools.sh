#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools.sh: AOSP's own tools on servicemanager, and vndservicemanager on its device.
. /run/aosp/lib.sh
. /run/aosp/checks.sh
begin 6
check tools.ServiceList says 'manager: [' service list
check tools.ServiceCheck says 'Service SurfaceFlinger: found' service check SurfaceFlinger
check tools.ServiceCheckMissing says 'Service nobody.has.this: not found' service check nobody.has.this
check tools.Dumpsys says SurfaceFlinger dumpsys -l
check tools.VndServiceManager start_manager /system/bin/vndservicemanager /dev/vndbinder
check tools.VndServiceList says 'manager: [' vndservice list
finish
