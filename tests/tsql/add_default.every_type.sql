ALTER TABLE [dbo].[every_type] ADD CONSTRAINT [PK_every_type] DEFAULT (getutcdate()) FOR [c2];
